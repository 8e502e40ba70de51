"""Measure what AWS signatures cost: one by itself beside those of other signers, and a signed batch beside one that
is not.

The first lines are microseconds for one signature of a PATCH with a body of 100 bytes: patchwire with a key that it
has derived before, awscrt (in C), botocore and requests-aws4auth. The others are processor time in microseconds a
record for whole batches against nginx, which lets in whoever comes; medians of interleaved rounds. "Fields of its own"
sends as many octets as a signature, the same each time: what signing takes beyond that goes into making it.
"""

import argparse
import datetime
import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import requests
from awscrt import auth, http
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from requests_aws4auth import AWS4Auth

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent / "clients"))

from scheme_cost import measure_batches, measure_calls, print_batches
from tests.support.nginx import NGINX

from patchwire.auth import sigv4, sigv4a
from patchwire.http import request_to

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
REGION, SERVICE = "us-east-1", "apigateway"
HOST, TARGET = "apigateway.us-east-1.amazonaws.com", "/restapis/a1b2c3"
FIELDS = {"Content-Type": "application/json", "Accept": "application/json"}
BODY = b"x" * 100
NOW = 1_440_938_160
LOCATIONS = 'location / { return 200 "hello world"; }'
SIGNED = f"""authentication = "aws"
[aws]
access_key = "{KEY}"
secret_key = "literal:{SECRET}"
service = "{SERVICE}"
region = "{REGION}"
"""
CONNECTIONS = {
    "no authentication": "preemptive = false\n",
    "fields of its own": f'[headers]\nAuthorization = "literal:{"x" * 190}"\nX-Amz-Date = "20150830T123600Z"\n',
    "SigV4": SIGNED,
    "SigV4A": f'{SIGNED}algorithm = "sigv4a"\n',
}


def signers() -> dict[str, Callable[[], object]]:
    """Return what makes one signature, by the name of whose it is."""
    request = request_to("PATCH", f"https://{HOST}{TARGET}", list(FIELDS.items()), BODY)
    credentials, scope = sigv4.AwsCredentials(KEY, SECRET), sigv4.Scope(REGION, SERVICE)
    provider = auth.AwsCredentialsProvider.new_static(KEY, SECRET)
    moment = datetime.datetime.fromtimestamp(NOW, datetime.UTC)

    def awscrt(algorithm: auth.AwsSigningAlgorithm) -> Callable[[], object]:
        config = auth.AwsSigningConfig(
            algorithm=algorithm,
            signature_type=auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
            credentials_provider=provider,
            region=REGION,
            service=SERVICE,
            date=moment,
        )

        def sign() -> object:
            headers = http.HttpHeaders([("Host", HOST), *FIELDS.items()])
            return auth.aws_sign_request(http.HttpRequest("PATCH", TARGET, headers, io.BytesIO(BODY)), config).result()

        return sign

    theirs = SigV4Auth(Credentials(KEY, SECRET), SERVICE, REGION)
    other = AWS4Auth(KEY, SECRET, REGION, SERVICE)
    prepared = requests.Request("PATCH", f"https://{HOST}{TARGET}", headers=FIELDS, data=BODY).prepare()
    return {
        "sigv4.sign": lambda: sigv4.sign(request, credentials, scope, NOW),
        "awscrt": awscrt(auth.AwsSigningAlgorithm.V4),
        "botocore": lambda: theirs.add_auth(AWSRequest("PATCH", f"https://{HOST}{TARGET}", FIELDS, BODY)),
        "requests-aws4auth": lambda: other(prepared.copy()),
        "sigv4a.sign": lambda: sigv4a.sign(request, credentials, scope, NOW),
        "awscrt, SigV4A": awscrt(auth.AwsSigningAlgorithm.V4_ASYMMETRIC),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--signatures", type=int, default=5_000)
    options = parser.parse_args()
    if NGINX is None:
        raise SystemExit("nginx is not installed: apt-get install nginx-light")
    made = measure_calls(signers(), options.rounds, options.signatures)
    for name, microseconds in made.items():
        of = "awscrt, SigV4A" if "SigV4A" in name or "sigv4a" in name else "awscrt"
        print(f"{name:22} {microseconds:6.2f} us {microseconds / made[of]:5.2f} of {of}")
    with tempfile.TemporaryDirectory() as directory:
        figures = measure_batches(
            Path(directory), CONNECTIONS, LOCATIONS, options.records, options.concurrency, options.rounds
        )
    print_batches(figures)


if __name__ == "__main__":
    main()
