"""Batches that are signed for AWS, against the embedded server's verifier: credentials, clocks and what is denied."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.aws_session import ENDED
from patchwire.auth.aws_signing import Scope
from patchwire.errors import CredentialsError, CredentialsRejectedError, PatchwireError
from patchwire.http.message import Request, Response
from patchwire.net import authentication
from patchwire.run.batch import Summary
from tests.support.aws_batches import Service, demanded, profile, served, signed_batch, signing
from tests.support.batches import BatchFiles, people, read_lines

KEYS = AwsCredentials("AKIDEXAMPLE", "canary-secret-key")
SESSION = AwsCredentials("ASIAEXAMPLE", "canary-secret-of-session", "canary-token-of-session")
LATER = AwsCredentials("ASIALATER", "canary-secret-of-later", "canary-token-of-later")
WRONG = AwsCredentials("AKIDEXAMPLE", "canary-wrong")
HOUR = 3600.0
MISMATCH = "InvalidSignatureException"


def failure_of(summary: Summary) -> PatchwireError:
    (failure,) = summary.failures
    assert "canary" not in str(failure)
    return failure


def refusal(code: str, message: str = "") -> Response:
    return Response(403, ((b"x-amzn-ErrorType", code.encode()),), json.dumps({"message": message}).encode())


def at(path: str, answer: Callable[[], Response]) -> Callable[[Request], Response | None]:
    """Answers requests for one path; lets the service itself answer all others."""
    return lambda request: answer() if request.target.decode() == path else None


def outcomes(files: BatchFiles) -> Counter[str]:
    return Counter(line["outcome"] for line in files.outcomes())


@pytest.mark.parametrize("service", ["execute-api", "s3"])
@pytest.mark.parametrize("algorithm", ["sigv4", "sigv4a"])
@pytest.mark.parametrize("keys", [KEYS, SESSION], ids=["long-term", "temporary"])
def test_each_record_is_let_in_and_applied_once(
    tmp_path: Path, keys: AwsCredentials, algorithm: str, service: str
) -> None:
    aws = Service(keys, scope=Scope("eu-west-1", service))
    settings = signing(keys, f'algorithm = "{algorithm}"', service=service, region="eu-west-1")
    paths = ["/people/a%20b", "/people/a%2Fb?n=a%20b&a=1", "/people/~a*(b)", "/people//x", "/people/b?q=%C3%A9&q=&x"]
    records = [*people(100), *({"path": path, "body": {"n": 1}} for path in paths)]
    _, summary = signed_batch(tmp_path, aws, records, settings)
    assert (summary.counts["applied"], summary.failures) == (105, [])
    assert aws.changes() == demanded(records)
    assert set(aws.signers) == {keys.access_key}
    assert len(aws.answered) == 105


@pytest.mark.parametrize("service", ["execute-api", "s3"])
def test_a_wrong_secret_stops_the_batch_after_one_request_that_names_the_key(tmp_path: Path, service: str) -> None:
    aws = Service(KEYS, scope=Scope("us-east-1", service))
    files, summary = signed_batch(tmp_path, aws, people(200), signing(WRONG, service=service), concurrency=32)
    failure = failure_of(summary)
    assert isinstance(failure, CredentialsRejectedError)
    code = "SignatureDoesNotMatch" if service == "s3" else MISMATCH
    assert f"the signature was rejected ({code}): the secret key of access key AKIDEXAMPLE is wrong" in str(failure)
    assert aws.statuses() == {403: 1}
    assert (files.outcomes(), summary.records) == ([], 0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (signing(KEYS, region="eu-west-1"), "should be scoped to 'us-east-1', not 'eu-west-1'"),
        (signing(KEYS, service="apigateway"), "should be scoped to 'execute-api', not 'apigateway'"),
        (signing(LATER), "access key ASIALATER or its session token is not accepted"),
        (signing(AwsCredentials(KEYS.access_key, KEYS.secret_key, "canary-token")), "or its session token is not acc"),
        (signing(KEYS, 'signing_host = "elsewhere"'), "the service has read the request otherwise, -v shows how"),
    ],
    ids=["region", "service", "access key", "token", "host"],
)
def test_what_is_wrong_for_all_stops_the_batch_after_one_request(tmp_path: Path, settings: str, said: str) -> None:
    aws = Service(KEYS)
    _, summary = signed_batch(tmp_path, aws, people(50), settings)
    assert said in str(failure_of(summary))
    assert len(aws.answered) == 1
    assert aws.applied == []


def test_with_the_right_secret_the_same_batch_goes_on(tmp_path: Path) -> None:
    aws = Service(KEYS)

    async def job(url: str) -> list[Summary]:
        files = BatchFiles(tmp_path, url, signing(WRONG))
        files.write(people(50))
        stopped = await files.run()
        BatchFiles(tmp_path, url, signing(KEYS))
        return [stopped, await files.run()]

    stopped, resumed = served(aws, job)
    assert isinstance(failure_of(stopped), CredentialsRejectedError)
    assert (resumed.counts["applied"], resumed.failures) == (50, [])
    assert aws.statuses() == {403: 1, 201: 50}
    assert aws.changes() == demanded(people(50))


@pytest.mark.parametrize("number", [0, 30])
def test_what_one_record_may_not_do_is_rejected_alone(tmp_path: Path, number: int) -> None:
    aws = Service(KEYS)
    aws.before = at(f"/people/{number}", lambda: refusal("AccessDeniedException", "not authorized to perform it"))
    files, summary = signed_batch(tmp_path, aws, people(60), signing(KEYS))
    assert summary.failures == []
    assert outcomes(files) == {"applied": 59, "rejected": 1}
    (line,) = [line for line in files.outcomes() if line["outcome"] == "rejected"]
    assert (line["id"], line["status"]) == (f"r{number}", 403)
    assert aws.statuses() == {201: 59, 403: 1}
    assert [record["id"] for record in read_lines(files.failed)] == [f"r{number}"]


def test_a_mismatch_after_others_were_let_in_is_the_matter_of_its_record(tmp_path: Path) -> None:
    aws = Service(KEYS)
    aws.before = at("/people/30", lambda: refusal(MISMATCH, "The request signature we calculated does not match"))
    files, summary = signed_batch(tmp_path, aws, people(60), signing(KEYS), concurrency=1)
    assert summary.failures == []
    assert outcomes(files) == {"applied": 59, "rejected": 1}
    line = files.outcomes()[30]
    assert (line["outcome"], line["status"]) == ("rejected", 403)
    assert "the signature with access key AKIDEXAMPLE was rejected (InvalidSignatureException)" in line["error"]
    assert aws.statuses() == {201: 59, 403: 1}


# --- sessions that end


@dataclass
class Ending:
    """Lets the session end once so many changes were made; then `meanwhile` happens, once."""

    aws: Service
    after: int
    meanwhile: Callable[[], object] = lambda: None
    ended: bool = False

    def __call__(self, request: Request) -> Response | None:
        if len(self.aws.signers) >= self.after and not self.ended:
            self.ended = True
            self.meanwhile()
        if self.ended and request.header(b"x-amz-security-token") == b"canary-token-of-session":
            return refusal("ExpiredTokenException", "The security token included in the request is expired")
        return None


def environment(monkeypatch: pytest.MonkeyPatch, keys: AwsCredentials) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys.secret_key)
    monkeypatch.setenv("AWS_SESSION_TOKEN", keys.session_token or "")
    monkeypatch.delenv("AWS_CREDENTIAL_EXPIRATION", raising=False)


@pytest.mark.parametrize("source", ["keys", "environment"])
def test_a_session_that_ends_and_cannot_be_renewed_stops_the_batch_and_the_next_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    aws = Service(SESSION)
    aws.before = Ending(aws, after=20)

    def settings(keys: AwsCredentials) -> str:
        environment(monkeypatch, keys)
        return signing(keys) if source == "keys" else signing(None, 'credentials = "environment"')

    async def job(url: str) -> list[Summary]:
        files = BatchFiles(tmp_path, url, settings(SESSION))
        files.write(people(60))
        stopped = await files.run(concurrency=8)
        aws.admit(LATER)
        BatchFiles(tmp_path, url, settings(LATER))
        return [stopped, await files.run(concurrency=8)]

    stopped, resumed = served(aws, job)
    failure = failure_of(stopped)
    assert isinstance(failure, CredentialsError)
    assert ENDED in str(failure)
    assert stopped.counts["rejected"] == stopped.counts["unknown"] == 0
    assert stopped.counts["applied"] == 20
    assert (resumed.counts["applied"], resumed.failures) == (60, [])
    assert aws.statuses()[403] <= 8
    assert aws.changes() == demanded(people(60))


def test_a_session_whose_profile_is_renewed_meanwhile_goes_on_with_the_new_keys(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(profile(SESSION), "utf-8")
    aws = Service(SESSION)

    def renew() -> None:
        aws.admit(LATER)
        keys.write_text(profile(LATER), "utf-8")

    aws.before = Ending(aws, after=20, meanwhile=renew)
    lines = ('credentials = "profile"', 'profile = "svc"', 'credentials_file = "keys"')
    files, summary = signed_batch(tmp_path, aws, people(100), signing(None, *lines))
    assert (summary.counts["applied"], summary.failures) == (100, [])
    assert aws.changes() == demanded(people(100))
    assert Counter(aws.signers) == {SESSION.access_key: 20, LATER.access_key: 80}
    assert 1 <= aws.statuses()[403] <= 8
    assert {line["attempts"] for line in files.outcomes()} == {1}


@pytest.mark.parametrize(
    ("meanwhile", "said"),
    [
        (lambda file: None, ENDED),
        (Path.unlink, "aws.credentials_file: "),
        (lambda file: file.write_text("canary", "utf-8"), "expected [PROFILE] above it"),
        (lambda file: file.write_text("[another]\n", "utf-8"), "holds no profile 'svc'"),
    ],
    ids=["as it was", "gone", "malformed", "without the profile"],
)
def test_a_profile_that_was_not_renewed_when_its_session_ends_stops_the_batch(
    tmp_path: Path, meanwhile: Callable[[Path], object], said: str
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(profile(SESSION), "utf-8")
    aws = Service(SESSION)
    aws.before = Ending(aws, after=20, meanwhile=lambda: meanwhile(keys))
    lines = ('credentials = "profile"', 'profile = "svc"', 'credentials_file = "keys"')
    _, summary = signed_batch(tmp_path, aws, people(60), signing(None, *lines))
    assert said in str(failure_of(summary))
    assert summary.counts["applied"] == 20
    assert (summary.counts["rejected"], summary.counts["unknown"]) == (0, 0)
    assert aws.statuses()[403] <= 8


def test_a_profile_whose_session_has_ended_before_is_tried_once_and_serves_once_it_is_renewed(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    aws = Service(msgspec.structs.replace(SESSION, expires_at=1.0), LATER)
    lines = ('credentials = "profile"', 'profile = "svc"', 'credentials_file = "keys"')

    async def job(url: str) -> list[Summary]:
        files = BatchFiles(tmp_path, url, signing(None, *lines))
        files.write(people(20))
        keys.write_text(profile(SESSION, "x_security_token_expires = 1970-01-01T00:00:01Z"), "utf-8")
        stopped = await files.run()
        assert aws.statuses() == {403: 1}
        keys.write_text(profile(LATER, "x_security_token_expires = 2999-01-01T00:00:00Z"), "utf-8")
        return [stopped, await files.run()]

    stopped, resumed = served(aws, job)
    assert ENDED in str(failure_of(stopped))
    assert (resumed.counts["applied"], resumed.failures) == (20, [])
    assert aws.changes() == demanded(people(20))


# --- clocks


@pytest.mark.parametrize("service", ["execute-api", "s3"])
@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
def test_a_clock_that_is_an_hour_wrong_is_corrected_once_and_all_are_applied(
    tmp_path: Path, ahead: float, service: str
) -> None:
    aws = Service(KEYS, scope=Scope("us-east-1", service), ahead=ahead)
    files, summary = signed_batch(tmp_path, aws, people(100), signing(KEYS, service=service))
    assert (summary.counts["applied"], summary.failures) == (100, [])
    assert aws.changes() == demanded(people(100))
    assert 1 <= aws.statuses()[403] <= 8
    assert {line["attempts"] for line in files.outcomes()} == {1}


def test_a_clock_that_starts_to_be_wrong_in_mid_run_is_corrected_by_those_in_flight(tmp_path: Path) -> None:
    aws = Service(KEYS)

    def shift(_: Request) -> None:
        aws.ahead = HOUR if len(aws.signers) >= 30 else 0.0

    aws.before = shift
    _, summary = signed_batch(tmp_path, aws, people(100), signing(KEYS))
    assert (summary.counts["applied"], summary.failures) == (100, [])
    assert aws.changes() == demanded(people(100))
    assert 1 <= aws.statuses()[403] <= 8


def test_a_clock_that_is_days_wrong_is_not_followed(tmp_path: Path) -> None:
    aws = Service(KEYS, ahead=3 * 86_400.0)
    _, summary = signed_batch(tmp_path, aws, people(50), signing(KEYS))
    assert "the service finds the time of the signature wrong" in str(failure_of(summary))
    assert aws.statuses() == {403: 1}


def test_what_has_waited_for_long_is_signed_anew_before_it_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every seventh look at the clock finds it an hour later, as after a long wait, here and at the service."""
    aws = Service(KEYS)
    looks = count(1)

    def clock() -> float:
        aws.ahead += HOUR if next(looks) % 7 == 0 else 0.0
        return time.time() + aws.ahead

    monkeypatch.setattr(authentication, "SOURCES", replace(authentication.SOURCES, clock=clock))
    _, summary = signed_batch(tmp_path, aws, people(100), signing(KEYS), concurrency=1)
    assert (summary.counts["applied"], summary.failures) == (100, [])
    assert aws.statuses() == {201: 100}
    assert aws.ahead > 20 * HOUR


# --- what else is signed


def test_the_look_for_a_tag_is_signed_too(tmp_path: Path) -> None:
    aws = Service(SESSION)

    async def job(url: str) -> Summary:
        files = BatchFiles(tmp_path, url, signing(SESSION))
        files.write(people(20))
        await files.run()
        return await files.run(fresh=True, fetch_tags=True)

    summary = served(aws, job)
    assert (summary.counts["applied"], summary.failures) == (20, [])
    assert aws.statuses() == {201: 20, 200: 40}
    assert all(line["if_match"] for line in aws.applied[20:])


def test_after_an_answer_that_was_lost_the_look_at_the_resource_is_signed_too(tmp_path: Path) -> None:
    aws = Service(SESSION)

    def lose(request: Request) -> Response | None:
        lost = request.method == "PATCH" and request.target == b"/people/7"
        return Response(504) if lost and aws.answered.count(("/people/7", 504)) == 0 else None

    aws.before = lose
    files, summary = signed_batch(tmp_path, aws, people(20), signing(SESSION), verify=True)
    assert summary.failures == []
    assert outcomes(files) == {"applied": 19, "unknown": 1}
    assert [status for path, status in aws.answered if path == "/people/7"] == [504, 404]  # GET: it is not there


@pytest.mark.parametrize("service", ["execute-api", "s3"])
def test_a_body_in_a_file_and_one_that_waits_for_100_continue_are_signed(tmp_path: Path, service: str) -> None:
    aws = Service(KEYS, scope=Scope("us-east-1", service))
    content = {"text": "x" * 300_000}
    (tmp_path / "big.json").write_text(json.dumps(content), "utf-8")
    records = [
        {"path": f"/people/{n}", "body_file": "big.json", "media_type": "application/merge-patch+json",
         "headers": {"Expect": "100-continue"} if n % 2 else {}}
        for n in range(10)
    ]  # fmt: skip
    _, summary = signed_batch(tmp_path, aws, records, signing(KEYS, service=service))
    assert (summary.counts["applied"], summary.failures) == (10, [])
    assert aws.changes() == [(f"/people/{n}", content) for n in range(10)]
    assert aws.statuses() == {201: 10}
