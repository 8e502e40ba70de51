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

import httpx
from httpx._auth import _DigestAuthChallenge
from requests.auth import HTTPDigestAuth

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent / "clients"))

from scheme_cost import measure_batches, measure_calls, print_batches
from tests.support.nginx import NGINX

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fields", type=int, default=20_000)
    options = parser.parse_args()
    if NGINX is None:
        raise SystemExit("nginx is not installed: apt-get install nginx-light")
    made = measure_calls(fields(), options.rounds, options.fields)
    for name, microseconds in made.items():
        print(f"{name:22} {microseconds:6.2f} us {microseconds / made['requests']:5.2f} of requests")
    with tempfile.TemporaryDirectory() as directory:
        figures = measure_batches(
            Path(directory), CONNECTIONS, LOCATIONS, options.records, options.concurrency, options.rounds
        )
    print_batches(figures)


if __name__ == "__main__":
    main()
