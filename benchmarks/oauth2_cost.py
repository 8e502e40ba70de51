"""Measure what OAuth 2.0 costs a batch whose token holds: its renewals are the authorization server's business.

Processor time in microseconds a record for whole batches against nginx, which lets in whoever comes; medians of
interleaved rounds. "A field of its own" sends as many octets as the token, written in the connection file; Basic is
the scheme that takes least.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent / "clients"))

from scheme_cost import measure_batches, print_batches
from tests.support.nginx import NGINX

TOKEN = "mF_9.B5f-4.1JqM" * 4
LOCATIONS = 'location / { return 200 "hello world"; }'
CONNECTIONS = {
    "no authentication": "preemptive = false\n",
    "a field of its own": f'[headers]\nAuthorization = "literal:Bearer {TOKEN}"\n',
    "Basic": 'authentication = "basic"\npreemptive = true\nuser = "svc"\npassword = "literal:pw"\n',
    "OAuth 2.0": f"""authentication = "oauth2"
preemptive = true
[oauth2]
grant_type = "client_credentials"
client_id = "batch"
client_secret = "literal:batch"
access_token = "literal:{TOKEN}"
access_token_url = "http://127.0.0.1:9/token"
""",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if NGINX is None:
        raise SystemExit("nginx is not installed: apt-get install nginx-light")
    with tempfile.TemporaryDirectory() as directory:
        figures = measure_batches(
            Path(directory), CONNECTIONS, LOCATIONS, options.records, options.concurrency, options.rounds
        )
    print_batches(figures)


if __name__ == "__main__":
    main()
