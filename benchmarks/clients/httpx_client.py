"""httpx: one AsyncClient, as many tasks as connections."""

import asyncio

import httpx
from asyncio_tasks import warm_and_time
from harness import Job, Timing, main
from workload import BODY, MEDIA_TYPE, check, path, trusting


async def measure(job: Job) -> Timing:
    """Return the timing of the job."""
    limits = httpx.Limits(max_connections=job.connections, max_keepalive_connections=job.connections)
    headers = {"Content-Type": MEDIA_TYPE}
    async with httpx.AsyncClient(
        limits=limits, headers=headers, trust_env=False, timeout=30, verify=trusting()
    ) as client:

        async def send(number: int) -> None:
            response = await client.patch(job.url + path(number), content=BODY)
            check(response.status_code, response.content)

        return await warm_and_time(job, send)


if __name__ == "__main__":
    main(lambda job: asyncio.run(measure(job)))
