"""What every client sends: a 220-byte merge patch to a path of its own, answered by eleven bytes."""

import os
import ssl
from pathlib import Path

AUTHORITY = os.environ.get("BENCHMARK_AUTHORITY")
"""The file of the CA to trust, where the server speaks https."""
MEDIA_TYPE = "application/merge-patch+json"
ANSWER = b"hello world"

_FIELDS = b'{"name":"Ada Lovelace","address":{"city":"London","postcode":"W1"},"active":true,"note":"%s"}'
BODY = _FIELDS % (b"x" * (220 - len(_FIELDS % b"")))


def path(number: int) -> str:
    """Return the path of one request; no two share one, as in a real file of changes."""
    return f"/people/{number}"


def check(status: int, body: bytes | bytearray) -> None:
    """Raise RuntimeError where the answer is not the expected one."""
    if status != 200 or body != ANSWER:
        raise RuntimeError(f"the server answered {status} with {bytes(body[:80])!r}")


def write_connection(file: Path, url: str) -> Path:
    """Write the connection file for the server at `url`; return its path."""
    tls = f'[tls]\ntrust = ["{AUTHORITY}"]\nsystem_roots = false\n' if AUTHORITY else ""
    file.write_text(f'base_url = "{url}"\nauthentication = "none"\n{tls}', encoding="utf-8")
    return file


def trusting() -> ssl.SSLContext:
    """Return a context of the standard library that trusts what the server is to be trusted by."""
    return ssl.create_default_context(cafile=AUTHORITY)


def write_records(file: Path, count: int) -> Path:
    """Write `count` records, one a line; return the file's path."""
    with file.open("wb") as lines:
        for number in range(count):
            lines.write(b'{"path":"%s","body":%s}\n' % (path(number).encode(), BODY))
    return file
