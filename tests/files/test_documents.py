from __future__ import annotations

from pathlib import Path

from patchwire.files.documents import read_documents


def test_documents_keep_the_bytes_of_their_bodies(tmp_path: Path) -> None:
    path = tmp_path / "documents.ndjson"
    path.write_text('{"path": "/a", "body": {"n" : 1.50}}\n\n{"body": [], "path": "/b"}', "utf-8")
    assert {name: document.body for name, document in read_documents(path).items()} == {
        "/a": b'{"n" : 1.50}', "/b": b"[]",
    }  # fmt: skip
