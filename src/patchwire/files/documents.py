"""The embedded server's documents from a file."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Raw, Struct

from patchwire.delivery.json_values import ContentRefusedError, parse_json
from patchwire.errors import InputError
from patchwire.files.read import describe
from patchwire.files.records import LineReader
from patchwire.loopback.documents import Document, document_of
from patchwire.settings.faults import fault_of


class _Line(Struct, forbid_unknown_fields=True):
    path: str
    body: Raw


def read_documents(path: Path) -> dict[str, Document]:
    """Documents by path, from NDJSON lines {"path": "/a", "body": ...}. InputError names the line and its fault."""
    documents = {}
    decode = msgspec.json.Decoder(_Line).decode
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(str(path), describe(error)) from None
    with file:
        reader = LineReader(file, str(path))
        while block := reader.read_block():
            for number, line in block:
                try:
                    item = decode(line)
                    parse_json(bytes(item.body))
                except msgspec.ValidationError as error:
                    raise InputError(f"{path}:{number}", fault_of(error)) from None
                except (msgspec.DecodeError, ContentRefusedError, UnicodeDecodeError, RecursionError) as error:
                    raise InputError(f"{path}:{number}", f"not a document line: {error}") from None
                documents[item.path] = document_of(bytes(item.body))
    return documents
