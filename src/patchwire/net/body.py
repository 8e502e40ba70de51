"""Request bodies that are not in memory: a file, or whatever an async iterable gives. Sent while they are read."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Final, Protocol

import trio

from patchwire.errors import InputError, LocalProtocolError
from patchwire.files.read import describe

PIECE: Final = 262_144


class BodySource(Protocol):
    """A body to be read while it is sent. `length` in bytes, or None: then it goes in chunks."""

    @property
    def length(self) -> int | None:
        """How long it is, where that is known beforehand."""

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """Its octets, from the beginning. LocalProtocolError where they have been given and cannot be given again."""


class FileBody:
    """The content of a file, as it is when it is sent. It can be sent again. InputError where it cannot be read."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        try:
            with self._path.open("rb") as file:
                self.length = file.seek(0, os.SEEK_END)
        except (OSError, ValueError) as error:
            reason = describe(error) if isinstance(error, OSError) else str(error)
            raise InputError(str(path), reason) from None

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Its octets, up to the length it had."""
        left = self.length
        async with await trio.open_file(self._path, "rb") as file:
            while left and (data := await file.read(min(PIECE, left))):
                left -= len(data)
                yield data


class IterableBody:
    """What an async iterable gives, once. With `length` it goes out under a Content-Length."""

    def __init__(self, iterable: AsyncIterable[bytes], length: int | None = None) -> None:
        self.length = length
        self._iterable: AsyncIterable[bytes] | None = iterable

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Its octets; the second time a LocalProtocolError."""
        iterable, self._iterable = self._iterable, None
        if iterable is None:
            remedy = "send it with preemptive credentials, or give it as bytes or a file"
            raise LocalProtocolError(
                f"the server asks for the body a second time, and it came from a stream; {remedy}"
            )
        async with AsyncExitStack() as stack:
            if isinstance(iterable, AsyncGenerator):
                await stack.enter_async_context(aclosing(iterable))
            async for data in iterable:
                yield data
