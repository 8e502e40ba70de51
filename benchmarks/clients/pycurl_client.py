"""pycurl: libcurl's multi interface with as many easy handles in flight as connections."""

import time
from collections.abc import Iterator

import pycurl
from harness import Job, Timing, main, timing
from workload import AUTHORITY, BODY, MEDIA_TYPE, check, path


class Transfers:
    """Easy handles that are used again and again, all in one multi handle."""

    def __init__(self, job: Job) -> None:
        self.url = job.url
        self.multi = pycurl.CurlMulti()
        self.multi.setopt(pycurl.M_MAXCONNECTS, job.connections)
        self.answers = {_easy(): bytearray() for _ in range(job.connections)}

    def run(self, requests: int) -> None:
        """Send that many requests and check each answer."""
        numbers = iter(range(requests))
        in_flight = sum(self._begin(easy, numbers) for easy in self.answers)
        while in_flight:
            self.multi.perform()
            _, done, failed = self.multi.info_read()
            if failed:
                raise RuntimeError(failed[0][2])
            for easy in done:
                self._end(easy)
                in_flight -= not self._begin(easy, numbers)
            if not done:
                self.multi.select(1.0)

    def _begin(self, easy: pycurl.Curl, numbers: Iterator[int]) -> bool:
        """Put the next request in flight; return False where none is left."""
        if (number := next(numbers, None)) is None:
            return False
        answer = self.answers[easy] = bytearray()
        easy.setopt(pycurl.URL, self.url + path(number))
        easy.setopt(pycurl.WRITEFUNCTION, answer.extend)
        self.multi.add_handle(easy)
        return True

    def _end(self, easy: pycurl.Curl) -> None:
        """Check the answer and take the handle out, so that it can be used again."""
        check(easy.getinfo(pycurl.RESPONSE_CODE), self.answers[easy])
        self.multi.remove_handle(easy)


def _easy() -> pycurl.Curl:
    """Return a handle set up for everything but the URL."""
    easy = pycurl.Curl()
    easy.setopt(pycurl.CUSTOMREQUEST, "PATCH")
    easy.setopt(pycurl.POSTFIELDS, BODY)
    easy.setopt(pycurl.HTTPHEADER, [f"Content-Type: {MEDIA_TYPE}"])
    easy.setopt(pycurl.NOPROXY, "*")
    easy.setopt(pycurl.NOSIGNAL, 1)
    if AUTHORITY:
        easy.setopt(pycurl.CAINFO, AUTHORITY)
    return easy


def measure(job: Job) -> Timing:
    """Return the timing of the job."""
    transfers = Transfers(job)
    transfers.run(job.warm_up)
    started = time.perf_counter()
    transfers.run(job.requests)
    return timing(job.requests, time.perf_counter() - started)


if __name__ == "__main__":
    main(measure)
