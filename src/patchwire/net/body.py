"""Request bodies that are not in memory: a file, or whatever an async iterable gives. Sent while they are read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterable, Callable
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

    @property
    def is_replayable(self) -> bool:
        """Whether it can be read more than once."""

    @property
    def is_spent(self) -> bool:
        """Whether it cannot be read (any more)."""

    async def hash(self, algorithm: str) -> str | None:
        """Its hash in hexadecimal digits, where it can be read for that; `algorithm` as hashlib calls it."""

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """Its octets, from the beginning. LocalProtocolError where they have been given and cannot be given again."""


class FileBody:
    """The content of a file, as it is when it is sent. It can be sent again. InputError where it cannot be read."""

    is_replayable = True
    is_spent = False

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

    async def hash(self, algorithm: str) -> str:
        """Its hash, as it is now."""
        return await _hash(self, algorithm)


class FactoryBody:
    """What the async iterables that `factory` makes give, a new one each time it is sent."""

    is_replayable = True
    is_spent = False

    def __init__(self, factory: Callable[[], AsyncIterable[bytes]], length: int | None = None) -> None:
        self.length = length
        self._factory = factory

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Its octets."""
        async with aclosing(IterableBody(self._factory()).pieces()) as pieces:
            async for data in pieces:
                yield data

    async def hash(self, algorithm: str) -> str:
        """The hash of what a new iterable gives."""
        return await _hash(self, algorithm)


class IterableBody:
    """What an async iterable gives, once. With `length` it goes out under a Content-Length."""

    is_replayable = False

    def __init__(self, iterable: AsyncIterable[bytes], length: int | None = None) -> None:
        self.length = length
        self._iterable: AsyncIterable[bytes] | None = iterable

    @property
    def is_spent(self) -> bool:
        """Whether it has been read, or begun to be."""
        return self._iterable is None

    async def hash(self, algorithm: str) -> None:
        """It cannot be read for that."""

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


async def _hash(source: BodySource, algorithm: str) -> str:
    hashed = hashlib.new(algorithm, usedforsecurity=False)
    async with aclosing(source.pieces()) as pieces:
        async for data in pieces:
            hashed.update(data)
    return hashed.hexdigest()
