"""Messages on a stream as octets, for servers in tests that hand them on: nothing is judged or lost."""

from __future__ import annotations

from dataclasses import dataclass, replace

import trio

_TO_THE_NEXT = {"connection", "keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate"}
"""Fields for the next recipient alone (RFC 9110 sections 7.6.1 and 11.7)."""


class EndedError(Exception):
    """The stream has ended where more was needed."""


@dataclass(frozen=True)
class Head:
    """The first line of a message, and its field lines, the names as they were spelt."""

    line: str
    fields: list[tuple[str, str]]

    def value(self, name: str) -> str:
        """The first value of a field, whose name is in lower case, or nothing."""
        return next((value for each, value in self.fields if each.lower() == name), "")

    def says(self, name: str, value: str) -> bool:
        """Whether the field has this value, in whatever case."""
        return self.value(name).lower() == value

    def without(self, name: str) -> Head:
        """All but the fields of this name, which is in lower case."""
        return replace(self, fields=[each for each in self.fields if each[0].lower() != name])

    def handed_on(self, line: str, *fields: str) -> bytes:
        """The octets for the next recipient, with this line and these fields more."""
        kept = [f"{name}: {value}" for name, value in self.fields if name.lower() not in _TO_THE_NEXT]
        return "\r\n".join([line, *kept, *fields, "", ""]).encode("latin-1")

    def is_framed(self, method: str) -> bool:
        """Whether an answer to this method ends before its connection does."""
        bodiless = method == "HEAD" or self.line.split(" ", 2)[1] in ("204", "304")
        return bodiless or bool(self.value("content-length") or self.value("transfer-encoding"))


class OctetReader:
    """Reads a stream; raises EndedError where it ends too early."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream
        self._left = b""

    def taken(self) -> bytes:
        """What has been received and not been read; it is read now."""
        left, self._left = self._left, b""
        return left

    async def head(self) -> Head:
        """The head of the next message."""
        octets = await self._until(b"\r\n\r\n")
        line, *fields = octets[:-4].decode("latin-1").split("\r\n")
        split = [each.partition(":") for each in fields]
        return Head(line, [(name, value.strip(" \t")) for name, _, value in split])

    async def body(self, head: Head) -> bytes:
        """The body of a request as it came, in its chunks if there are any; without trailers."""
        if not head.says("transfer-encoding", "chunked"):
            return await self._exactly(int(head.value("content-length") or 0))
        octets, size = b"", -1
        while size:
            line = await self._until(b"\r\n")
            size = int(line.partition(b";")[0], 16)
            octets += line + await self._exactly(size + 2)
        return octets

    async def answer_body(self, head: Head, method: str) -> bytes:
        """The body of an answer to a request with this method."""
        if method == "HEAD":
            return b""
        return await self.body(head) if head.is_framed(method) else await self._rest()

    async def _until(self, end: bytes) -> bytes:
        while end not in self._left:
            await self._receive()
        octets, _, self._left = self._left.partition(end)
        return octets + end

    async def _exactly(self, size: int) -> bytes:
        while len(self._left) < size:
            await self._receive()
        octets, self._left = self._left[:size], self._left[size:]
        return octets

    async def _rest(self) -> bytes:
        while data := await self._stream.receive_some():
            self._left += data
        return self.taken()

    async def _receive(self) -> None:
        data = await self._stream.receive_some()
        if not data:
            raise EndedError
        self._left += data
