"""The line structure of a chunked body, bounded before h11 sees it (RFC 9112 section 7.1).

h11 bounds neither chunk extensions nor the trailer section by anything but how the bytes happened to be cut, and
it refuses the blanks around an extension that RFC 9110 section 5.6.3 makes a recipient accept. So extensions are
checked and taken off here, and the trailer section is held back until it is whole.
"""

from __future__ import annotations

import re

MAX_CHUNK_LINE = 4096
"""Octets of one chunk-size line with its extensions and CRLF."""

_size_line = re.compile(rb"([0-9A-Fa-f]{1,20})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n").fullmatch
_trailer_end = re.compile(rb"\n\r?\n").search


class ChunkLines:
    """Passes a chunked body on without extensions, whole lines only, and knows where it ends."""

    def __init__(self, max_trailer: int) -> None:
        self.max_trailer = max_trailer
        self.surplus = b""
        """What followed the end of the body."""
        self._line = bytearray()
        self._in_chunk = 0  # octets still to come of this chunk's data
        self._footer = b""  # what is still to come of the CRLF behind it
        self._in_trailer = False
        self._framing = 0  # octets of size lines and of CRLF behind data
        self._data = 0
        self._ended = False

    def feed(self, data: bytes) -> tuple[bytes, str | None]:
        """What h11 may read now, and what is wrong with what follows it, if anything is."""
        passed = bytearray()
        position = 0
        while position < len(data) and not self._ended:
            if self._in_chunk:
                taken = data[position : position + self._in_chunk]
                passed += taken
                self._in_chunk -= len(taken)
                position += len(taken)
                continue
            if self._footer:
                if data[position] != self._footer[0]:
                    return bytes(passed), "chunk data not followed by CRLF"
                passed.append(data[position])
                self._footer = self._footer[1:]
                position += 1
                continue
            newline = data.find(b"\n", position)
            end = len(data) if newline < 0 else newline + 1
            self._line += data[position:end]
            position = end
            fault = self._take_line(newline >= 0, passed)
            if fault is not None:
                return bytes(passed), fault
        self.surplus += data[position:]
        return bytes(passed), None

    def _take_line(self, whole: bool, passed: bytearray) -> str | None:
        line = self._line
        if self._in_trailer:
            if len(line) > self.max_trailer:
                return f"trailer section over {self.max_trailer} bytes"
            if whole and (bytes(line) in (b"\n", b"\r\n") or _trailer_end(line, max(0, len(line) - 3))):
                passed += line
                self._ended = True
            return None
        if whole:
            self._framing += len(line) + 2
        if len(line) > MAX_CHUNK_LINE:
            return f"chunk-size line over {MAX_CHUNK_LINE} bytes"
        if not whole:
            return None
        match = _size_line(line)
        if match is None:
            return "malformed chunk-size line"
        size = match[1]
        # A body in chunks of an octet or two is work without end for whoever must read it.
        if self._framing > self._data + self.max_trailer:
            return "more chunk framing than chunk data"
        passed += size + b"\r\n"
        length = int(size, 16)
        self._data += length
        line.clear()
        if length:
            self._in_chunk, self._footer = length, b"\r\n"
        else:
            self._in_trailer = True
        return None
