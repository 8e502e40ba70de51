"""How many TLS records end in what has come (RFC 8446 section 5.1): it spares a read that could only find nothing."""

from __future__ import annotations

_HEADER = 5


class RecordCounter:
    """Follows a stream of records by their headers alone."""

    __slots__ = ("_header", "_missing")

    def __init__(self) -> None:
        self._missing = 0  # octets still to come of the record that has begun
        self._header = b""  # of the next one, not whole yet

    def feed(self, data: bytes) -> int:
        """How many records end in `data`, which follows what came before."""
        ended, position, length = 0, 0, len(data)
        while position < length:
            if self._missing:
                step = min(self._missing, length - position)
                self._missing -= step
                position += step
                ended += not self._missing
                continue
            have = len(self._header)
            self._header += data[position : position + _HEADER - have]
            position += len(self._header) - have
            if len(self._header) == _HEADER:
                self._missing = int.from_bytes(self._header[3:], "big")
                self._header = b""
                ended += not self._missing
        return ended
