"""Measure what Digest costs: its field by itself beside that of other clients, and a batch with it beside one without.

The first lines are microseconds for one Authorization field (SHA-256, qop=auth): patchwire's pure function, the same
from a remembered nonce as a batch makes it, requests and httpx. The others are processor time in microseconds a record
for whole batches against nginx, which asks for Digest with one nonce and lets in whoever answers; medians of
interleaved rounds. "A field of its own" sends as many octets as Digest, the same each time: what Digest takes beyond
that goes into making them.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from timeit import timeit

import httpx
from httpx._auth import _DigestAuthChallenge
from requests.auth import HTTPDigestAuth

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent / "clients"))

from batch_command import batch_command
from cores import client_and_server_cores
from measured_batch import run
from tests.support.nginx import NGINX, nginx_server, pinned
from workload import write_records

from patchwire.auth import challenge, digest
from patchwire.auth.credentials import Credentials

USER, PASSWORD, TARGET = "Mufasa", "Circle of Life", "/people/1"
PARAMETERS = {
    "realm": "http-auth@example.org",
    "qop": "auth",
    "algorithm": "SHA-256",
    "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
}
ASKED = "Digest " + ", ".join(f'{name}="{value}"' for name, value in PARAMETERS.items())
LOCATIONS = f"""
location / {{
    if ($http_authorization = "") {{ add_header WWW-Authenticate '{ASKED}' always; return 401; }}
    return 200 "hello world";
}}
"""
CONNECTIONS = {
    "no authentication": "",
    "a field of its own": f'[headers]\nAuthorization = "literal:Bearer {"x" * 300}"\n',
    "Basic": f'authentication = "basic"\nuser = "{USER}"\npassword = "literal:{PASSWORD}"\npreemptive = true\n',
    "Digest": f'authentication = "digest"\nuser = "{USER}"\npassword = "literal:{PASSWORD}"\n',
}


def fields() -> dict[str, Callable[[], object]]:
    """Return what makes one Authorization field, by the name of whose it is."""
    (asked,) = challenge.parse([ASKED.encode()])
    credentials = Credentials(USER, PASSWORD)
    session = digest.Session(digest.understand(asked), credentials, b"0a4f113b0a4f113b")
    theirs = HTTPDigestAuth(USER, PASSWORD)
    theirs.init_per_thread_state()
    theirs._thread_local.chal = dict(PARAMETERS)
    other = httpx.DigestAuth(USER, PASSWORD)
    request = httpx.Request("PATCH", f"http://h{TARGET}")
    octets = {name: value.encode() for name, value in PARAMETERS.items() if name not in ("algorithm", "qop")}
    their_challenge = _DigestAuthChallenge(**octets, algorithm="SHA-256", qop=b"auth")  # type: ignore[arg-type]
    return {
        "digest.authorization": lambda: digest.authorization(
            asked, credentials, method="PATCH", target=b"/people/1", cnonce="0a4f113b0a4f113b", nonce_count=1
        ),
        "a remembered nonce": lambda: session.authorization("PATCH", b"/people/1", 1, None),
        "requests": lambda: theirs.build_digest_header("PATCH", f"http://h{TARGET}"),
        "httpx": lambda: other._build_auth_header(request, their_challenge),
    }


def measure_fields(rounds: int, number: int) -> dict[str, float]:
    """Return the median of interleaved rounds, in microseconds."""
    made = fields()
    figures: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(rounds):
        for name, make in made.items():
            figures[name].append(timeit(make, number=number) / number * 1e6)
    return {name: median(each) for name, each in figures.items()}


def measure_batches(directory: Path, count: int, concurrency: int, rounds: int) -> dict[str, tuple[float, float]]:
    """Return microseconds a record and records a second for each connection."""
    client_core, server_core = client_and_server_cores()
    records = write_records(directory / "records.ndjson", count)
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in CONNECTIONS}
    with (
        nginx_server(directory / "asking", core=server_core, locations=LOCATIONS) as asking,
        nginx_server(directory / "open", core=server_core) as open_to_all,
    ):
        for round_number in range(rounds):
            for name, settings in CONNECTIONS.items():
                server = asking if settings else open_to_all
                connection = directory / "connection.toml"
                connection.write_text(f'base_url = "{server.base_url}"\n{settings}', encoding="utf-8")
                said = run(pinned(batch_command(connection, records, concurrency), client_core))
                if said["applied"] != count:
                    raise SystemExit(f"{name}, round {round_number}: {said}")
                figures[name].append((said["cpu_seconds"] / count * 1e6, said["rate"]))
    return {name: (median(c for c, _ in each), median(r for _, r in each)) for name, each in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fields", type=int, default=20_000)
    options = parser.parse_args()
    if NGINX is None:
        raise SystemExit("nginx is not installed: apt-get install nginx-light")
    made = measure_fields(options.rounds, options.fields)
    for name, microseconds in made.items():
        print(f"{name:22} {microseconds:6.2f} us {microseconds / made['requests']:5.2f} of requests")
    with tempfile.TemporaryDirectory() as directory:
        figures = measure_batches(Path(directory), options.records, options.concurrency, options.rounds)
    bare, bare_rate = figures["no authentication"]
    for name, (cpu, rate) in figures.items():
        print(f"{name:22} {cpu:6.1f} us {cpu - bare:+6.1f} us {rate:8.0f}/s {rate / bare_rate:5.2f}")


if __name__ == "__main__":
    main()
