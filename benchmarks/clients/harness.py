"""The frame around each client: its arguments, its warm-up and its one line of JSON."""

import argparse
import json
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass

WARM_UP_LIMIT = 1000


@dataclass(frozen=True)
class Job:
    """What a client is asked to do: `requests` PATCH requests over `connections` connections."""

    url: str
    connections: int
    requests: int

    @property
    def warm_up(self) -> int:
        """How many requests go first, untimed: at least one for each connection."""
        return max(self.connections, min(WARM_UP_LIMIT, self.requests // 5))


@dataclass(frozen=True)
class Timing:
    """What a client did: requests answered, the seconds they took, and requests a second."""

    requests: int
    seconds: float
    rate: float


def timing(requests: int, seconds: float) -> Timing:
    """Return the timing of that many requests in that many seconds."""
    return Timing(requests, seconds, requests / seconds)


def main(measure: Callable[[Job], Timing]) -> None:
    """Run `measure` on the job that the command line describes, and print the timing as one JSON line.

    A failure leaves its reason as the last line of standard error.
    """
    job = _job()
    try:
        result = measure(job)
    except Exception as error:
        traceback.print_exc()
        raise SystemExit(_reason(error)) from None
    print(json.dumps({"connections": job.connections, **asdict(result)}))


def _reason(error: BaseException) -> str:
    """Return the failure in one line: of a group's members, whose trace ends in a frame, the first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}".replace("\n", " ")


def _job() -> Job:
    """Return the job from the command line."""
    parser = argparse.ArgumentParser(description="Send PATCH requests as fast as one client can.")
    parser.add_argument("url", help="the server's base URL, http://127.0.0.1:PORT")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--requests", type=int, default=10_000)
    arguments = parser.parse_args()
    return Job(arguments.url.rstrip("/"), arguments.connections, arguments.requests)
