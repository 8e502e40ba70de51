from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from patchwire.errors import CredentialsRejectedError
from patchwire.http.message import Origin, Request, Response
from tests.support.batches import BatchFiles, people
from tests.support.digest_peer import NOW, SETTINGS, DigestOrigin, digest_verifier, without_proof
from tests.support.origins import OK, Origins, batch, run, status
from tests.support.peer import listening
from tests.support.proxy import answer as proxy_answer
from tests.support.proxy import scripted_proxy

PROTECTED = {"idempotent": True}


@pytest.mark.parametrize(("uses", "most"), [("parallel", 1), ("ordered", 20), ("once", 40)])
def test_a_batch_with_digest_is_applied_once_and_asked_a_handful_of_times(
    tmp_path: Path, uses: Any, most: int
) -> None:
    origin = DigestOrigin(digest_verifier(uses))
    _, summary = batch(tmp_path, origin, people(500), SETTINGS, concurrency=8)
    assert summary.counts["applied"] == 500
    assert len(origin.applied) == len(set(origin.applied)) == 500
    assert origin.refused <= most


def test_nonces_that_end_in_mid_batch_cost_no_record_and_few_challenges(tmp_path: Path) -> None:
    passed = 0.0

    def clock() -> float:
        nonlocal passed
        passed += 1.0
        return NOW + passed

    origin = DigestOrigin(digest_verifier(lifetime=300.0), now=clock)
    origin.signed_at = lambda: NOW  # so that no nonce seems old, and none is renewed
    _, summary = batch(tmp_path, origin, people(500), SETTINGS, concurrency=8)
    assert (summary.counts["applied"], len(set(origin.applied)), len(origin.applied)) == (500, 500, 500)
    assert 1 < origin.refused <= 8 * 8


@pytest.mark.parametrize("preemptive", [True, False])
def test_a_wrong_password_stops_the_batch_after_one_request_with_it(tmp_path: Path, preemptive: bool) -> None:
    origin = DigestOrigin(digest_verifier())
    settings = f"preemptive = {str(preemptive).lower()}\n" + SETTINGS.replace("canary", "wrong")
    files, summary = batch(tmp_path, origin, people(200), settings, concurrency=16)
    (failure,) = summary.failures
    assert isinstance(failure, CredentialsRejectedError)
    assert "user 'svc' or its password was rejected (Digest SHA-256, realm 'r'); nothing was changed" in str(failure)
    assert (origin.with_credentials, origin.applied, files.outcomes()) == (1, [], [])


@pytest.mark.parametrize("tunnels", [False, True], ids=["handed on", "tunnelled"])
def test_a_password_that_the_proxy_rejects_stops_the_batch_after_one_request_with_it(
    tmp_path: Path, tunnels: bool
) -> None:
    refused = proxy_answer(407, "Proxy-Authenticate: Basic realm=office")
    with scripted_proxy(lambda seen: refused) as proxy:
        url = f"{'https' if tunnels else 'http'}://host.example"
        settings = f'[proxy]\nurl = "{proxy.base_url}"\nuser = "svc"\npassword = "literal:canary"\n'
        files = BatchFiles(tmp_path, url, settings)
        files.write(people(200))
        summary = trio.run(lambda: files.run(concurrency=1))
        given = [each for each in proxy.seen if each.values("proxy-authorization")]
    (failure,) = summary.failures
    reason = "user 'svc' or its password was rejected by the proxy (Basic, realm 'office'); nothing was changed"
    assert str(failure).startswith(f"{'cannot connect to ' if tunnels else ''}{url}: {reason}")
    assert (len(given), files.outcomes()) == (1, [])


def test_an_endless_stream_of_challenges_stops_the_batch(tmp_path: Path) -> None:
    def answer(*_: object) -> bytes:
        nonce = len(origin.seen)
        return status(401, f'WWW-Authenticate: Digest realm="r", nonce="{nonce}", qop=auth, stale=true')

    origin = Origins(answer)
    _, summary = batch(tmp_path, origin, people(200), SETTINGS, concurrency=16)
    assert isinstance(summary.failures[0], CredentialsRejectedError)
    assert len(origin.seen) == 4


def test_a_nonce_that_changes_with_every_answer_costs_no_challenge(tmp_path: Path) -> None:
    def renewed(response: Response) -> Response:
        line = (b"Authentication-Info", b'nextnonce="%b"' % origin.verifier._nonces.make(NOW))
        return Response(response.status, (line,), response.body)

    origin = DigestOrigin(digest_verifier(), lie=renewed)
    _, summary = batch(tmp_path, origin, people(300), SETTINGS, concurrency=8)
    assert (summary.counts["applied"], origin.refused) == (300, 1)


@pytest.mark.parametrize("record", [{}, PROTECTED])
def test_an_answer_without_its_proof_is_unknown_and_nothing_is_sent_after_it(
    tmp_path: Path, record: dict[str, Any]
) -> None:
    origin = DigestOrigin(digest_verifier(), lie=without_proof)
    records = [{**each, **record} for each in people(200)]
    files, summary = batch(tmp_path, origin, records, SETTINGS, concurrency=1)
    assert summary.counts["unknown"] == 3
    assert len(origin.applied) == len(set(origin.applied)) == 3
    (failure,) = summary.failures
    assert "has given 3 answers in a row that do not prove that it knows the password" in str(failure)
    for line in files.outcomes():
        assert (line["outcome"], line["attempts"]) == ("unknown", 1)
        assert "answered with 200, but the server does not prove that it knows the password" in str(line["error"])


def test_one_answer_without_its_proof_is_unknown_and_the_run_goes_on(tmp_path: Path) -> None:
    def lie(response: Response) -> Response:
        return without_proof(response) if len(origin.applied) % 10 == 5 else response

    origin = DigestOrigin(digest_verifier(), lie=lie)
    files, summary = batch(tmp_path, origin, people(100), SETTINGS)
    assert (summary.counts["unknown"], summary.counts["applied"], summary.failures) == (10, 90, [])
    assert len(origin.applied) == len(set(origin.applied)) == 100
    assert sum(line["outcome"] == "unknown" for line in files.outcomes()) == 10


def test_a_look_that_is_not_proven_is_no_look(tmp_path: Path) -> None:
    def answer(request: Request) -> Response:
        return Response(200, ((b"ETag", b'"v1"'),), b'{"n": 0}')

    origin = DigestOrigin(digest_verifier(), answer, without_proof)
    files, summary = batch(tmp_path, origin, people(1), SETTINGS, verify=True)
    (line,) = files.outcomes()
    assert summary.counts["unknown"] == 1
    assert "the GET to verify it failed: answered with 200, but the server does not prove" in str(line["error"])


def test_the_body_of_an_answer_is_kept_where_its_proof_covers_it(tmp_path: Path) -> None:
    origin = DigestOrigin(digest_verifier(qops=("auth-int",)), lambda _: Response(200, (), b'{"n": "\xc3\xa4"}'))
    _, summary = batch(tmp_path, origin, people(20), SETTINGS)
    assert summary.counts["applied"] == 20
    changed = DigestOrigin(digest_verifier(qops=("auth-int",)), lie=lambda r: Response(r.status, r.headers, b"x"))
    (tmp_path / "other").mkdir()
    _, summary = batch(tmp_path / "other", changed, people(2), SETTINGS)
    assert summary.counts["unknown"] == 2


HUGE = {
    "a realm of 60,000 octets": 'Digest realm="' + "r" * 60_000 + '", nonce="n", qop=auth',
    "a nonce of 60,000 octets": 'Digest realm="r", qop=auth, nonce="' + "n" * 60_000 + '"',
    "a qop of 60,000 octets": 'Digest realm="r", nonce="n", qop="' + "q" * 60_000 + '"',
    "an algorithm of 60,000 octets": 'Digest realm="r", nonce="n", algorithm="' + "a" * 60_000 + '"',
    "ten thousand parameters": "Digest " + ", ".join(f"p{number}=1" for number in range(6_000)),
    "a thousand challenges": ", ".join(f'Digest realm="{number}", nonce="n", qop=x' for number in range(1_000)),
    "a scheme of 60,000 octets": "x" * 60_000,
    "only unknown algorithms": 'Digest realm="r", nonce="n", algorithm=SHA3-256',
    "only unknown qops": 'Digest realm="r", nonce="n", qop="auth-conf"',
    "nothing": "",
}


@pytest.mark.parametrize("scheme", ["digest", "basic"])
@pytest.mark.parametrize("challenge", HUGE.values(), ids=HUGE.keys())
def test_a_challenge_of_any_size_ends_in_one_clear_line(tmp_path: Path, challenge: str, scheme: str) -> None:
    origin = Origins(lambda *_: status(401, f"WWW-Authenticate: {challenge}"))
    _, summary = batch(tmp_path, origin, people(50), SETTINGS.replace("digest", scheme), concurrency=8)
    (failure,) = summary.failures
    assert isinstance(failure, CredentialsRejectedError)
    assert len(str(failure)) < 1000
    assert len(origin.seen) <= 9


def test_the_answer_to_a_challenge_does_not_wait_for_the_pace(tmp_path: Path) -> None:
    origin = DigestOrigin(digest_verifier())
    _, summary = batch(tmp_path, origin, people(1), SETTINGS, rate=0.001)
    assert (summary.counts["applied"], summary.interrupted) == (1, False)


def test_a_challenge_without_credentials_to_answer_it_is_told(tmp_path: Path) -> None:
    files, _ = batch(tmp_path, DigestOrigin(digest_verifier()), people(2))
    assert [line["error"] for line in files.outcomes()] == ["the server asks for Digest authentication"] * 2


# --- redirects


def test_a_redirect_within_the_origin_is_followed_and_counts_as_one_attempt(tmp_path: Path) -> None:
    def answer(method: str, target: str, body: bytes) -> bytes:
        return OK if target.startswith("/new") else status(308, f"Location: /new{target}")

    origin = Origins(answer)
    files, summary = batch(tmp_path, origin, people(20))
    assert summary.counts["applied"] == 20
    assert {line["attempts"] for line in files.outcomes()} == {1}
    assert origin.times()["/new/people/7"] == 1


def test_redirects_and_challenges_mix(tmp_path: Path) -> None:
    def answer(request: Request) -> Response:
        if request.target.startswith(b"/new"):
            return Response(200, (), b"{}")
        return Response(307, ((b"Location", b"/new" + request.target),))

    origin = DigestOrigin(digest_verifier(domain="/people"), answer)
    _, summary = batch(tmp_path, origin, people(20), SETTINGS)
    assert summary.counts["applied"] == 20
    assert len(origin.applied) == len(set(origin.applied)) == 40


@pytest.mark.parametrize(
    ("code", "outcome", "error"),
    [(301, "rejected", "is not followed (redirects.follow)"), (307, "rejected", "is not followed (redirects.other_"),
     (303, "unknown", None)],
)  # fmt: skip
def test_a_redirect_that_is_not_followed_says_why(tmp_path: Path, code: int, outcome: str, error: str | None) -> None:
    origin = Origins(lambda *_: status(code, "Location: http://127.0.0.1:1/new"))
    files, _ = batch(tmp_path, origin, people(1))
    (line,) = files.outcomes()
    assert (line["outcome"], line["status"]) == (outcome, code)
    assert (line["error"] is None) if error is None else error in str(line["error"])
    assert len(origin.seen) == 1


def test_another_origin_that_is_down_is_no_trouble_of_ours(tmp_path: Path) -> None:
    away = status(307, "Location: http://127.0.0.1:1/")
    origin = Origins(lambda _, target, __: away if target == "/people/1" else OK)
    files, summary = batch(tmp_path, origin, people(3), "[redirects]\nother_origins = true\n")
    outcomes = {line["path"]: (line["outcome"], line["attempts"]) for line in files.outcomes()}
    assert outcomes["/people/1"] == ("not_sent", 5)
    assert (summary.counts["applied"], summary.failures) == (2, [])


def test_another_origin_is_reached_where_it_may_be(tmp_path: Path) -> None:
    other = Origins(lambda *_: OK)

    async def job(there: Origin) -> Any:
        away = lambda request: Response(307, ((b"Location", str(there).encode() + request.target),))  # noqa: E731
        first = DigestOrigin(digest_verifier(), away)
        async with listening(first) as here:
            files = BatchFiles(tmp_path, here, SETTINGS + "[redirects]\nother_origins = true\n")
            files.write(people(10))
            return await files.run()

    summary = run(other, job)
    assert summary.counts["applied"] == 10
    assert sorted(target for _, target, _ in other.seen) == sorted(f"/people/{n}" for n in range(10))
    assert {fields.get("authorization") for fields in other.fields} == {None}
