"""Batches over TLS: certificate files in a test's own directory, and the table that names them."""

from __future__ import annotations

from pathlib import Path

from tests.support.batches import BatchFiles
from tests.support.certificates import Authority


def tls_batch(directory: Path, base_url: str, trusted: bytes | Authority, table: str = "") -> BatchFiles:
    """A batch that trusts these certificates and nothing of the system's; `table` goes below [tls]."""
    trust(directory, trusted)
    return BatchFiles(directory, base_url, settings(table))


def settings(table: str = "", above: str = "") -> str:
    """The end of a connection file that trusts ca.pem alone."""
    return f'{above}\n[tls]\ntrust = ["ca.pem"]\nsystem_roots = false\n{table}\n'


def trust(directory: Path, trusted: bytes | Authority) -> None:
    """Write ca.pem."""
    (directory / "ca.pem").write_bytes(trusted if isinstance(trusted, bytes) else trusted.pem)


def change(files: BatchFiles, base_url: str, table: str = "") -> None:
    """Write the connection file anew."""
    files.connection.write_text(f'base_url = "{base_url}"\n{settings(table)}', "utf-8")
