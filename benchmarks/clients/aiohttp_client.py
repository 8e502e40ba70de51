"""aiohttp: one session, as many tasks as connections."""

import asyncio

import aiohttp
from asyncio_tasks import warm_and_time
from harness import Job, Timing, main
from workload import BODY, MEDIA_TYPE, check, path, trusting


async def measure(job: Job) -> Timing:
    """Return the timing of the job."""
    connector = aiohttp.TCPConnector(limit=job.connections, ssl=trusting())
    async with aiohttp.ClientSession(connector=connector, headers={"Content-Type": MEDIA_TYPE}) as session:

        async def send(number: int) -> None:
            async with session.patch(job.url + path(number), data=BODY) as response:
                check(response.status, await response.read())

        return await warm_and_time(job, send)


if __name__ == "__main__":
    main(lambda job: asyncio.run(measure(job)))
