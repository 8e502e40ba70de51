"""A request body that comes piece by piece, framed by its announced length or in chunks (RFC 9112 section 6)."""

from __future__ import annotations

from patchwire.errors import LocalProtocolError


class StreamedBody:
    """Frames one body. `length` in bytes, or None where it is not known beforehand: then it goes in chunks."""

    def __init__(self, length: int | None = None) -> None:
        self.length = length
        self.ended = False
        self._given = 0

    def piece(self, data: bytes) -> bytes:
        """The piece as it goes on the wire. LocalProtocolError beyond the announced length, or behind the end."""
        if self.ended:
            raise LocalProtocolError("the body has ended; nothing can follow")
        self._given += len(data)
        if self.length is None:
            return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        if self._given > self.length:
            raise LocalProtocolError(f"the body is longer than the {self.length} bytes that were announced")
        return data

    def end(self) -> bytes:
        """What ends the body on the wire. LocalProtocolError where less has come than was announced."""
        if self.length is not None and self._given < self.length:
            raise LocalProtocolError(f"the body ended after {self._given} of the {self.length} bytes announced")
        self.ended = True
        return b"0\r\n\r\n" if self.length is None else b""
