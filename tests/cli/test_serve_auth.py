from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

import httpx
import msgspec
import pytest

from patchwire.auth import sigv4, sigv4a
from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.aws_signing import Scope
from patchwire.http.message import request_to
from tests.support.aws_batches import demanded, signing
from tests.support.batches import BatchFiles, people, read_lines
from tests.support.commands import environment, patchwire, serving, without_traceback
from tests.support.moto import AwsKeys, BotocoreAuth

CURL = shutil.which("curl")
needs_curl = pytest.mark.skipif(CURL is None, reason="curl is not installed: apt-get install curl")
MERGE = {"Content-Type": "application/merge-patch+json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
USER = ("--user", "svc", "--password", "literal:p:\u00e4", "--create-missing")
CLIENT = ("--auth", "bearer", "--client-id", "app")


AWS = ("--auth", "aws", "--access-key", "AKIDEXAMPLE", "--secret-key", "literal:canary-secret", "--create-missing")
KEYS = AwsCredentials("AKIDEXAMPLE", "canary-secret")
TEMPORARY = AwsCredentials("AKIDEXAMPLE", "canary-secret", "canary-token/+=")


def _curl_signs_for_aws() -> bool:
    """Since 7.87 curl signs Host as it sends it, with its port; a query it has left unsorted for longer."""
    if CURL is None:
        return False
    said = subprocess.run([CURL, "-q", "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    version = re.match(r"curl (\d+)\.(\d+)", said)
    return version is not None and (int(version[1]), int(version[2])) >= (7, 87)


needs_curl_for_aws = pytest.mark.skipif(
    not _curl_signs_for_aws(), reason="curl 7.87 or later is not installed: apt-get install curl"
)
needs_botocore = pytest.mark.skipif(
    find_spec("botocore") is None, reason="botocore is not installed: pip install 'patchwire[peers]'"
)


def curl(url: str, *options: str) -> tuple[list[int], str]:
    """The statuses that curl met, and the last Authorization field that it sent."""
    done = subprocess.run(
        [str(CURL), "-q", "-s", "-v", "--max-time", "20", "--noproxy", "*", "-X", "PATCH", *options, url,
         "-H", "Content-Type: application/merge-patch+json", "--data", '{"n": 1}'],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    statuses = [int(status) for status in re.findall(r"^< HTTP/1\.1 (\d+)", done.stderr, re.MULTILINE)]
    return statuses, (re.findall(r"^> Authorization: (.*?)\r?$", done.stderr, re.MULTILINE) or [""])[-1]


@needs_curl
@pytest.mark.parametrize(
    ("options", "said"),
    [(["--algorithm", "MD5"], "algorithm=MD5"), (["--algorithm", "SHA-256"], "algorithm=SHA-256"),
     (["--algorithm", "SHA-256", "--userhash"], "userhash=true"), (["--algorithm", "MD5-sess"], "algorithm=MD5-sess"),
     (["--algorithm", "MD5", "--qop", "none"], "algorithm=MD5"), ([], "qop=auth")],
    ids=str,
)  # fmt: skip
def test_curl_is_let_in_with_digest_and_turned_away_with_another_password(options: list[str], said: str) -> None:
    with serving("--auth", "digest", *USER, *options) as url:
        statuses, sent = curl(f"{url}/a", "--digest", "--user", "svc:p:\u00e4")
        assert statuses == [401, 201]
        assert said in sent
        assert ('username="svc"' in sent) is ("--userhash" not in options)
        assert curl(f"{url}/a", "--digest", "--user", "svc:wrong")[0] == [401, 401]


@needs_curl
def test_curl_is_let_in_with_a_token() -> None:
    with serving("--auth", "bearer", "--token", "canary-token", "--create-missing") as url:
        assert curl(f"{url}/a", "--oauth2-bearer", "canary-token")[0] == [201]
        assert curl(f"{url}/a", "--oauth2-bearer", "wrong")[0] == [401]
        assert curl(f"{url}/a")[0] == [401]


def test_a_token_that_was_given_and_one_that_was_issued_let_in_side_by_side_the_latter_until_it_expires() -> None:
    options = ("--client-secret", "canary", "--token", "canary-token", "--token-lifetime", "1", "--create-missing")
    with serving(*CLIENT, *options) as url, httpx.Client(base_url=url, headers=MERGE) as client:
        form = {"grant_type": "client_credentials"}
        token = client.post("/oauth2/token", data=form, auth=("app", "canary"), headers=FORM).json()["access_token"]
        for each in ("canary-token", token):
            assert client.patch("/a", content=b"{}", headers=bearer(each)).status_code in (200, 201)
        assert client.patch("/a", content=b"{}").headers["www-authenticate"] == 'Bearer realm="patchwire"'
        time.sleep(1)
        late = client.patch("/a", content=b"{}", headers=bearer(token))
        assert (late.status_code, 'error="invalid_token"' in late.headers["www-authenticate"]) == (401, True)
        assert client.patch("/a", content=b"{}", headers=bearer("canary-token")).status_code == 200


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_user_and_a_password_are_for_the_password_grant_of_a_client_without_secret() -> None:
    with serving(*CLIENT, *USER) as url:
        form = {"grant_type": "password", "client_id": "app", "username": "svc", "password": "p:\u00e4"}
        token = httpx.post(f"{url}/oauth2/token", data=form).json()["access_token"]
        assert httpx.patch(f"{url}/a", headers=MERGE | bearer(token), content=b"{}").status_code == 201


def test_httpx_is_let_in_with_digest() -> None:
    with serving("--auth", "digest", *USER) as url, httpx.Client(auth=httpx.DigestAuth("svc", "p:\u00e4")) as client:
        assert [client.patch(f"{url}/a", headers=MERGE, content=b"{}").status_code for _ in range(3)] == [
            201,
            200,
            200,
        ]
        info = client.patch(f"{url}/a", headers=MERGE, content=b"{}").headers["authentication-info"]
        assert re.match(r'qop=auth, rspauth="[0-9a-f]{64}", cnonce="[^"]+", nc=0000000\d$', info), info


@pytest.mark.parametrize("uses", ["parallel", "ordered", "once"])
@pytest.mark.parametrize("options", [[], ["--qop", "auth-int"], ["--algorithm", "SHA-512-256-sess", "--userhash"]])
def test_a_batch_of_ours_is_let_in_however_nonces_may_be_used(tmp_path: Path, uses: str, options: list[str]) -> None:
    settings = 'authentication = "digest"\nuser = "svc"\npassword = "env:P"\n'
    with serving("--auth", "digest", *USER, "--nonce-uses", uses, *options) as url:
        files = BatchFiles(tmp_path, url, settings)
        files.write(people(300))
        done = patchwire("batch", files.connection, files.records, "-v", env=environment(P="p:\u00e4"))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("< 401") <= (1 if uses == "parallel" else 40)


def test_nonces_that_end_soon_are_renewed(tmp_path: Path) -> None:
    settings = 'authentication = "digest"\nuser = "svc"\npassword = "env:P"\n'
    with serving("--auth", "digest", *USER, "--nonce-lifetime", "0.2") as url:
        files = BatchFiles(tmp_path, url, settings)
        files.write(people(200))
        done = patchwire(
            "batch", files.connection, files.records, "-v", "--rate", "200", env=environment(P="p:\u00e4")
        )
    assert done.returncode == 0, done.stderr
    assert "nextnonce=" in done.stderr


@needs_curl_for_aws
@pytest.mark.parametrize("service", ["execute-api", "s3"])
def test_curl_is_let_in_with_a_signature_for_aws_and_turned_away_with_another_secret(service: str) -> None:
    signer = ("--aws-sigv4", f"aws:amz:us-east-1:{service}")
    with serving(*AWS, "--service", service) as url:
        statuses, sent = curl(f"{url}/a", *signer, "--user", "AKIDEXAMPLE:canary-secret")
        assert statuses == [201]
        assert re.match(
            rf"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/\d{{8}}/us-east-1/{service}/aws4_request, SignedHeaders=", sent
        )
        assert curl(f"{url}/a", *signer, "--user", "AKIDEXAMPLE:canary-secret")[0] == [200]
        assert curl(f"{url}/a", *signer, "--user", "AKIDEXAMPLE:wrong")[0] == [403]
        assert curl(f"{url}/a", *signer, "--user", "AKID:canary-secret")[0] == [403]
        assert curl(f"{url}/a")[0] == [403]
        for place in (f"us-east-2:{service}", "us-east-1:other"):
            wrong = curl(f"{url}/a", "--aws-sigv4", f"aws:amz:{place}", "--user", "AKIDEXAMPLE:canary-secret")[0]
            assert wrong == ([400] if service == "s3" else [403])


@needs_curl_for_aws
def test_curl_is_let_in_where_it_waits_before_it_sends_the_body() -> None:
    signer = ("--aws-sigv4", "aws:amz:us-east-1:execute-api", "-H", "Expect: 100-continue")
    with serving(*AWS) as url:
        assert curl(f"{url}/a", *signer, "--user", "AKIDEXAMPLE:canary-secret")[0] == [100, 201]
        assert curl(f"{url}/a", *signer, "--user", "AKID:canary-secret")[0] == [403]


def botocore_client(keys: AwsKeys, service: str, region: str) -> httpx.Client:
    return httpx.Client(auth=BotocoreAuth(keys, service, region), trust_env=False)


@needs_botocore
@pytest.mark.parametrize("token", [None, "canary-token/+="])
def test_what_botocore_signs_is_let_in(token: str | None) -> None:
    session = () if token is None else ("--session-token", f"literal:{token}")
    with serving(*AWS, *session, "--region", "eu-central-1", "--service", "apigateway") as url:
        right = AwsKeys("AKIDEXAMPLE", "canary-secret", token)
        with botocore_client(right, "apigateway", "eu-central-1") as client:
            for path in ("/a", "/a%20b/%E4", "/a?z=1&b=%2F&b=&a"):
                answer = client.patch(f"{url}{path}", headers=MERGE, content=b'{"n": 1}')
                assert answer.status_code == (200 if "?" in path else 201), answer.text
                assert client.get(f"{url}{path}").json() == {"n": 1}
        for wrong in (AwsKeys("AKIDEXAMPLE", "wrong", token), AwsKeys("AKIDEXAMPLE", "canary-secret", "wrong")):
            with botocore_client(wrong, "apigateway", "eu-central-1") as client:
                assert client.patch(f"{url}/a", headers=MERGE, content=b"{}").status_code == 403


@needs_botocore
def test_a_refusal_of_the_server_shows_what_it_has_signed_itself() -> None:
    with serving(*AWS) as url, botocore_client(AwsKeys("AKIDEXAMPLE", "wrong"), "execute-api", "us-east-1") as client:
        answer = client.patch(f"{url}/a", headers=MERGE, content=b"{}")
    assert (answer.status_code, answer.headers["x-amzn-errortype"]) == (403, "InvalidSignatureException")
    assert "The Canonical String for this request should have been\n'PATCH\n/a\n" in answer.json()["message"]
    assert "date" in answer.headers


def send(
    url: str,
    path: str = "/a",
    *,
    of: AwsCredentials = KEYS,
    service: str = "execute-api",
    region: str = "us-east-1",
    ahead: float = 0.0,
    form: str = "sigv4",
) -> tuple[int, str]:
    """Status and code of the answer to a PATCH that our own functions sign."""
    request = request_to("PATCH", url + path, [*MERGE.items()], b'{"n": 1}')
    scope, now = Scope(region, service), time.time() + ahead
    if form == "query":
        request = sigv4.presign(request, of, scope, now, 60)
    elif form == "sigv4a":
        request = request.with_valid_fields(sigv4a.sign(request, of, scope, now))
    else:
        request = request.with_valid_fields(sigv4.sign(request, of, scope, now))
    with httpx.Client(trust_env=False) as client:
        answer = client.patch(f"{url}{request.target.decode()}", headers=list(request.headers), content=request.body)
    return answer.status_code, answer.headers.get("x-amzn-errortype", "")


def test_a_signature_may_stand_in_a_field_or_in_the_query_and_be_for_many_regions() -> None:
    with serving(*AWS, "--region", "eu-west-1") as url:
        assert send(url, region="eu-west-1") == (201, "")
        assert send(url, region="eu-west-1", form="query") == (200, "")
        assert send(url, "/a?x=1", region="eu-west-1", form="query") == (200, "")
        assert send(url, region="eu-*,us-east-1", form="sigv4a") == (200, "")
        assert send(url, region="us-*", form="sigv4a") == (403, "InvalidSignatureException")
        assert send(url) == (403, "InvalidSignatureException")


@pytest.mark.parametrize(
    ("given", "signed", "refused"),
    [("ses", "ses", "email"), ("sesv2", "ses", "sesv2"), ("cloudwatch", "monitoring", "cloudwatch"),
     ("My-own.service_2", "My-own.service_2", "execute-api")],
)  # fmt: skip
def test_a_service_is_a_name_of_the_catalogue_or_any_signing_name(given: str, signed: str, refused: str) -> None:
    with serving(*AWS, "--service", given) as url:
        assert send(url, service=signed) == (201, "")
        assert send(url, service=refused) == (403, "InvalidSignatureException")


def test_temporary_keys_need_the_token_of_their_session() -> None:
    with serving(*AWS, "--session-token", "literal:canary-token/+=") as url:
        for form in ("sigv4", "sigv4a", "query"):
            assert send(url, of=TEMPORARY, form=form)[0] in (200, 201)
            assert send(url, of=KEYS, form=form) == (403, "UnrecognizedClientException")


def test_how_wrong_a_clock_may_be_is_an_option() -> None:
    with serving(*AWS) as usual, serving(*AWS, "--max-skew", "2000.5") as patient:
        for ahead in (-1900.0, 1900.0):
            assert send(usual, ahead=ahead) == (403, "InvalidSignatureException")
            assert send(patient, ahead=ahead)[0] in (200, 201)
            assert send(patient, ahead=ahead + ahead / 10) == (403, "InvalidSignatureException")


def test_keys_and_token_may_stand_in_the_environment_or_in_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("canary-secret\n", "utf-8")
    (tmp_path / "token").write_text("canary-token/+=\n", "utf-8")
    keys = ("--auth", "aws", "--access-key", "AKIDEXAMPLE", "--create-missing")
    from_files = ("--secret-key", f"file:{tmp_path / 'secret'}", "--session-token", f"file:{tmp_path / 'token'}")
    from_environment = ("--secret-key", "env:CANARY_SECRET", "--session-token", "env:CANARY_TOKEN")
    variables = environment(CANARY_SECRET="canary-secret", CANARY_TOKEN="canary-token/+=")
    with serving(*keys, *from_files) as url:
        assert send(url, of=TEMPORARY) == (201, "")
    with serving(*keys, *from_environment, env=variables) as url:
        assert send(url, of=TEMPORARY) == (201, "")
        assert send(url, of=KEYS) == (403, "UnrecognizedClientException")


def test_what_is_signed_for_aws_leaves_no_secret_in_the_log(tmp_path: Path) -> None:
    wrong = AwsCredentials("AKIDEXAMPLE", "canary-other", "canary-token/+=")
    log = tmp_path / "log"
    with log.open("wb") as file, serving(*AWS, "-v", "--session-token", "literal:canary-token/+=", stderr=file) as url:
        for form in ("sigv4", "sigv4a", "query"):
            assert send(url, of=TEMPORARY, form=form)[0] in (200, 201)
            assert send(url, of=wrong, form=form) == (403, "InvalidSignatureException")
    written = log.read_text("utf-8")
    assert written.count("< PATCH /a") == 6
    assert written.count("Signature=***") == 6
    assert written.lower().count("x-amz-security-token: ***") == 4
    assert written.count("X-Amz-Security-Token=***") == 2
    assert "canary" not in written
    assert not re.search(r"Signature=[^*]", written)


def test_a_record_of_changes_is_kept_of_those_who_are_let_in(tmp_path: Path) -> None:
    with serving(*AWS, "--record", tmp_path / "record") as url:
        assert send(url) == (201, "")
        assert send(url, service="other") == (403, "InvalidSignatureException")
    lines = (tmp_path / "record").read_text("utf-8").splitlines()
    assert [(line["path"], line["status"]) for line in map(json.loads, lines)] == [("/a", 201)]


KEY_AND_SECRET = ["--auth", "aws", "--access-key", "AKIDEXAMPLE", "--secret-key"]
NEEDS_AWS = "--session-token, --service, --region and --max-skew need --auth aws"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [(["--auth", "aws"], "--auth aws needs --access-key and --secret-key"),
     (["--auth", "aws", "--access-key", "A"], "--auth aws needs --access-key and --secret-key"),
     (["--auth", "aws", "--secret-key", "canary"], "--auth aws needs --access-key and --secret-key"),
     (["--access-key", "A"], "--access-key needs --auth aws"),
     (["--secret-key", "canary"], "--secret-key needs --auth aws"),
     (["--auth", "bearer", "--token", "canary", "--access-key", "A"], "--access-key needs --auth aws"),
     ([*KEY_AND_SECRET, "canary", "--user", "svc"], "--user needs --auth basic or digest"),
     ([*KEY_AND_SECRET, "canary", "--token", "canary"], "--token needs --auth bearer"),
     ([*KEY_AND_SECRET, "canary", "--qop", "auth"], "--nonce-lifetime and --nonce-uses need --auth digest"),
     (["--session-token", "canary"], NEEDS_AWS), (["--service", "ses"], NEEDS_AWS),
     (["--region", "eu-west-1"], NEEDS_AWS),
     (["--max-skew", "1"], NEEDS_AWS), (["--auth", "basic", *USER, "--service", "ses"], NEEDS_AWS),
     ([*KEY_AND_SECRET, "canary", "--max-skew", "0"], "--max-skew must be above 0"),
     ([*KEY_AND_SECRET, "canary", "--max-skew", "nan"], "--max-skew must be above 0"),
     ([*KEY_AND_SECRET, "canary", "--max-skew", "x"], "Invalid value for '--max-skew'"),
     ([*KEY_AND_SECRET, "env:CANARY_MISSING"], "--secret-key: "),
     ([*KEY_AND_SECRET, "file:/nowhere/canary"], "--secret-key: "),
     ([*KEY_AND_SECRET, "canary", "--session-token", "env:CANARY_MISSING"], "--session-token: "),
     ([*KEY_AND_SECRET, "literal:"], "--secret-key"), ([*KEY_AND_SECRET, "literal:can ary"], "--secret-key"),
     ([*KEY_AND_SECRET, "canary", "--session-token", "literal:can ary"], "--session-token"),
     ([*KEY_AND_SECRET, "canary", "--access-key", "a/b"], "--access-key"),
     ([*KEY_AND_SECRET, "canary", "--access-key", ""], "--access-key"),
     ([*KEY_AND_SECRET, "canary", "--service", "a b"], "--service"),
     ([*KEY_AND_SECRET, "canary", "--service", ""], "--service"),
     ([*KEY_AND_SECRET, "canary", "--region", "a b"], "--region"),
     ([*KEY_AND_SECRET, "canary", "--region", ""], "--region")],
    ids=str,
)  # fmt: skip
def test_what_is_wrong_with_the_options_of_aws_is_one_line_that_names_the_option(
    arguments: list[str], complaint: str
) -> None:
    done = patchwire("serve", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    lines = without_traceback(done)
    assert complaint in lines[-1]
    assert "can ary" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [(["--auth", "digest"], "--auth digest needs --user and --password"),
     (["--auth", "bearer"], "--auth bearer needs --token or --client-id"),
     (["--client-id", "x"], "--client-id needs --auth bearer"),
     (["--auth", "basic", *USER, "--client-secret", "x"], "--client-secret and --token-lifetime need --client-id"),
     (["--auth", "bearer", "--token", "x", "--token-lifetime", "9"], "--token-lifetime need --client-id"),
     (["--auth", "bearer", "--token", "x", *USER], "--user and --password need --client-id with --auth bearer"),
     ([*CLIENT, "--user", "svc"], "--user and --password stand together"),
     ([*CLIENT, "--password", "canary"], "--user and --password stand together"),
     ([*CLIENT, "--token-lifetime", "0"], "--token-lifetime must be above 0"),
     ([*CLIENT, "--token-lifetime", "x"], "Invalid value for '--token-lifetime'"),
     ([*CLIENT, "--token", "a b"], "--token: the bearer token holds a character that no token may"),
     ([*CLIENT, "--client-secret", "env:CANARY_MISSING"], "--client-secret: "),
     ([*CLIENT, "--client-secret", "literal:"], "--client-id, --client-secret: the client secret must be"),
     (["--auth", "bearer", "--client-id", "\u00e4"], "--client-id, --client-secret: the client id must be"),
     (["--token", "x"], "--token needs --auth bearer"),
     (["--auth", "bearer", "--token", "a b"], "--token: the bearer token holds a character that no token may"),
     (["--auth", "digest", *USER, "--algorithm", "SHA-1"], "--algorithm: 'SHA-1' is no Digest algorithm"),
     (["--auth", "digest", *USER, "--algorithm", "MD5-sess", "--qop", "none"], "needs a qop"),
     (["--auth", "digest", *USER, "--qop", "none", "--qop", "auth"], "--qop none stands alone"),
     (["--auth", "basic", *USER, "--userhash"], "--nonce-lifetime and --nonce-uses need --auth digest"),
     (["--auth", "basic", *USER, "--nonce-lifetime", "0"], "--nonce-lifetime and --nonce-uses need --auth digest"),
     (["--nonce-uses", "once"], "--nonce-lifetime and --nonce-uses need --auth digest"),
     (["--auth", "digest", *USER, "--nonce-lifetime", "0"], "--nonce-lifetime must be above 0"),
     (["--auth", "digest", *USER, "--nonce-lifetime", "nan"], "--nonce-lifetime must be above 0"),
     (["--auth", "digest", *USER, "--realm", "a\nb"], "--realm: holds a character that cannot be sent"),
     (["--auth", "digest", "--user", "a:b", "--password", "literal:x"], "a user name must not hold a colon")],
    ids=str,
)  # fmt: skip
def test_what_is_wrong_is_one_line(arguments: list[str], complaint: str) -> None:
    done = patchwire("serve", *arguments)
    assert done.returncode == 2
    assert complaint in without_traceback(done)[-1]


# --- batches of ours that are signed

SESSION = AwsCredentials("ASIAEXAMPLE", "canary-secret", "canary-token")
ITS_KEYS = ("--access-key", SESSION.access_key, "--secret-key", "env:K", "--session-token", "env:T")


@pytest.mark.parametrize(
    ("algorithm", "service", "region"), [("sigv4", "s3", "eu-west-1"), ("sigv4a", "execute-api", "us-east-1")]
)
def test_a_signed_batch_of_ours_is_let_in_and_applied_once_and_with_another_secret_stops_after_one_request(
    tmp_path: Path, algorithm: str, service: str, region: str
) -> None:
    record = tmp_path / "record.ndjson"
    options = ("--auth", "aws", *ITS_KEYS, "--service", service, "--region", region, "--record", str(record))
    variables = environment(K=SESSION.secret_key, T="canary-token")
    log = (tmp_path / "log").open("wb")
    with log, serving(*options, "--create-missing", "-v", stderr=log, env=variables) as url:
        settings = {
            secret: signing(msgspec.structs.replace(SESSION, secret_key=secret), f'algorithm = "{algorithm}"',
                            service=service, region=region)
            for secret in ("not-this-one", SESSION.secret_key)
        }  # fmt: skip
        files = BatchFiles(tmp_path, url, settings["not-this-one"])
        files.write(people(300))
        refused = patchwire("batch", files.connection, files.records, "--output", files.output)
        answered = (tmp_path / "log").read_bytes().count(b" < PATCH ")
        BatchFiles(tmp_path, url, settings[SESSION.secret_key])
        applied = patchwire("batch", files.connection, files.records, "--output", files.output)
    (line,) = without_traceback(refused)
    assert (refused.returncode, answered) == (1, 1)
    assert "the secret key of access key ASIAEXAMPLE is wrong" in line
    assert (applied.returncode, applied.stderr) == (0, "")
    assert [each["outcome"] for each in files.outcomes()] == ["applied"] * 300
    lines = read_lines(record)
    assert sorted((each["path"], each["body"]) for each in lines) == demanded(people(300))
