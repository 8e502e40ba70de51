"""The blocks of a PEM file, whatever text stands around them (RFC 7468)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from patchwire.errors import SettingsError

# Text around the blocks is allowed (section 2): "openssl x509 -text" and exports from PKCS#12 write it.
_begin = re.compile(rb"^-----BEGIN ([A-Z0-9 ]+)-----[ \t]*\r?$", re.MULTILINE)
_blanks_at_line_ends = re.compile(rb"[ \t]*\r?\n").sub
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Block(Struct, frozen=True):
    """One block: where its file begins it, its label, and its text from BEGIN to END."""

    line: int
    label: str
    text: bytes

    def __repr__(self) -> str:
        """It may be a key."""
        return f"<Block {self.label}, line {self.line}>"


def blocks(place: str, content: bytes) -> Iterator[Block]:
    """Each block of the file. SettingsError, which begins with `place`, where one does not end."""
    content = content.removeprefix(_BYTE_ORDER_MARK)
    position = 0
    while found := _begin.search(content, position):
        line = content.count(b"\n", 0, found.start()) + 1
        label = found[1].decode("ascii")
        end_line = b"-----END %b-----" % found[1]
        end = content.find(end_line, found.end())
        if end < 0:
            raise SettingsError(f"{place}, line {line}", f"the end of its block {label!r} is missing")
        position = end + len(end_line)
        yield Block(line, label, _blanks_at_line_ends(b"\n", content[found.start() : position] + b"\n"))
