"""A number of asyncio tasks that share a number of requests."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

from harness import Job, Timing, timing


async def warm_and_time(job: Job, send: Callable[[int], Awaitable[None]]) -> Timing:
    """Return the timing of the job's requests after its warm-up, one task for each connection."""
    await _share(job.connections, job.warm_up, send)
    started = time.perf_counter()
    await _share(job.connections, job.requests, send)
    return timing(job.requests, time.perf_counter() - started)


async def _share(tasks: int, requests: int, send: Callable[[int], Awaitable[None]]) -> None:
    """Call `send` with each request's number, from that many tasks at once."""
    numbers = iter(range(requests))
    async with asyncio.TaskGroup() as group:
        for _ in range(tasks):
            group.create_task(_send_each(numbers, send))


async def _send_each(numbers: Iterator[int], send: Callable[[int], Awaitable[None]]) -> None:
    for number in numbers:
        await send(number)
