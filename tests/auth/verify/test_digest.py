from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.auth.challenge import parse_strictly
from patchwire.auth.credentials import Credentials
from patchwire.auth.digest import ALGORITHMS, authorization
from patchwire.auth.digest_flow import DigestAuthentication
from patchwire.auth.flow import FlowResult, Send
from patchwire.auth.verify.digest import DigestDemands, DigestVerifier
from patchwire.auth.verify.nonces import ServerNonces, Uses
from patchwire.auth.verify.verdict import Admitted, Refused
from patchwire.errors import LocalProtocolError
from patchwire.http.fields import quote
from patchwire.http.message import Origin, Request, Response, request_to
from tests.support.conversations import converse

NOW = 1_700_000_000.0
ORIGIN = Origin("http", "h", 80)
PASSWORDS = {"svc": "canary", "J\u00e4s\u00f8n Doe": "Secret, \u00e4 not?"}
ALL = [name + form for name in ALGORITHMS for form in ("", "-sess")]


def verifier(uses: Uses = "parallel", **demands: Any) -> DigestVerifier:
    numbers = count(1)
    nonces = ServerNonces(b"key", lambda size: next(numbers).to_bytes(size, "big"), lifetime=10.0, uses=uses)
    return DigestVerifier(DigestDemands(realm='the "realm"', **demands), PASSWORDS, nonces)


class Server:
    """An origin server behind a verifier: it counts what it has let in and turned away."""

    def __init__(self, of: DigestVerifier) -> None:
        self.of = of
        self.now = NOW
        self.users: list[str] = []
        self.refused = 0

    def __call__(self, step: Send) -> Response:
        verdict = self.of.judge(step.request, self.now)
        if isinstance(verdict, Refused):
            self.refused += 1
            return Response(verdict.status, verdict.headers)
        self.users.append(verdict.user)
        return verdict.signed(Response(200, (), b"the body"), self.now)


def client(user: str = "svc", password: str | None = None, **options: Any) -> DigestAuthentication:
    numbers = count(1)
    credentials = Credentials(user, PASSWORDS[user] if password is None else password)
    return DigestAuthentication(credentials, ORIGIN, lambda: f"cnonce{next(numbers)}", **options)


def patch(path: str = "/a?b=%20", body: bytes = b'{"a": 1}') -> Request:
    return request_to("PATCH", f"http://h{path}", body=body)


@pytest.mark.parametrize("preemptive", [True, False])
@pytest.mark.parametrize("utf8", [True, False])
@pytest.mark.parametrize("userhash", [True, False])
@pytest.mark.parametrize("qops", [(), ("auth",), ("auth-int",), ("auth", "auth-int")], ids=str)
@pytest.mark.parametrize("algorithm", ALL)
def test_our_client_and_our_server_understand_each_other(
    algorithm: str, qops: tuple[Any, ...], userhash: bool, utf8: bool, preemptive: bool
) -> None:
    if algorithm.endswith("-sess") and not qops:
        with pytest.raises(LocalProtocolError, match="an algorithm with -sess needs a qop"):
            verifier(algorithms=(algorithm,), qops=qops)
        return
    for user in PASSWORDS:
        server = Server(verifier(algorithms=(algorithm,), qops=qops, userhash=userhash, utf8=utf8))
        authentication = client(user, preemptive=preemptive)
        for path in ("/a?b=%20", "/a", "/else/where"):
            _, result, _ = converse(authentication, patch(path), server)
            assert result == FlowResult(result.response)
            assert result.response.status == 200
            assert (b"rspauth=" in (result.response.header(b"authentication-info") or b"")) is bool(qops)
        assert (server.users, server.refused) == ([user] * 3, 1)
        wrong = Server(server.of)
        _, result, _ = converse(client(user, "wrong", preemptive=preemptive), patch(), wrong)
        assert result.refusal is not None
        assert (wrong.users, wrong.refused) == ([], 2)


@pytest.mark.parametrize(("uses", "refused"), [("parallel", 1), ("ordered", 1), ("once", 1)])
def test_however_a_nonce_may_be_used_our_client_keeps_to_it(uses: Uses, refused: int) -> None:
    server = Server(verifier(uses))
    authentication = client()
    for _ in range(20):
        assert converse(authentication, patch(), server)[1].response.status == 200
    assert (len(server.users), server.refused) == (20, refused)


def test_an_old_nonce_is_renewed_by_nextnonce_without_a_401() -> None:
    server = Server(verifier())
    authentication = client()
    for number in range(50):
        server.now = NOW + number
        assert converse(authentication, patch(), server)[1].response.status == 200
    assert server.refused == 1


def test_a_nonce_that_has_ended_is_stale_and_one_more_401_brings_another() -> None:
    server = Server(verifier())
    authentication = client()
    converse(authentication, patch(), server)
    server.now = NOW + 100
    sent, result, told = converse(authentication, patch(), server)
    assert (len(sent), result.response.status) == (2, 200)
    assert told[0] == "the nonce is stale after 1 requests that it has served"


# --- what a client may get wrong


def given_by(of: DigestVerifier, **changes: str | None) -> Request:
    """A request whose credentials are right but for the changes; None takes a parameter away."""
    challenge = parse_strictly(of.challenges(NOW)[0])[0]
    request = patch()
    value = authorization(
        challenge, Credentials("svc", "canary"), method="PATCH", target=request.target, body=request.body,
        cnonce="c", nonce_count=1,
    )  # fmt: skip
    parameters = {**dict(parse_strictly(value.encode())[0].parameters), **changes}
    text = ", ".join(f"{name}={quote(each)}" for name, each in parameters.items() if each is not None)
    return request.with_header(b"Authorization", f"Digest {text}".encode("latin-1"))


def status(of: DigestVerifier, request: Request, now: float = NOW) -> int:
    verdict = of.judge(request, now)
    return verdict.status if isinstance(verdict, Refused) else 200


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, 200), ({"response": "0" * 64}, 401), ({"response": ""}, 401), ({"response": "\u00e4"}, 401),
     ({"username": "nobody"}, 401), ({"realm": "other"}, 401), ({"opaque": None}, 401), ({"opaque": "x"}, 401),
     ({"algorithm": None}, 401), ({"algorithm": "SHA-512"}, 401), ({"algorithm": "x"}, 401), ({"nonce": "x"}, 401),
     ({"qop": "auth-int"}, 401), ({"qop": None}, 401), ({"nc": "00000000"}, 401), ({"nc": "00000002"}, 401),
     ({"uri": "/b"}, 400), ({"uri": None}, 400), ({"nonce": None}, 400), ({"response": None}, 400),
     ({"username": None}, 400), ({"username*": "UTF-8''svc"}, 400), ({"nc": "1"}, 400), ({"nc": None}, 400),
     ({"nc": "0000000g"}, 400), ({"nc": "+0000001"}, 400), ({"nc": "0_000001"}, 400), ({"cnonce": None}, 400),
     ({"qop": "auth-conf"}, 400), ({"username": None, "username*": "UTF-8''svc"}, 200),
     ({"username": None, "username*": "UTF-8''%73vc"}, 200), ({"username": None, "username*": "utf-8'en'svc"}, 200),
     ({"username": None, "username*": "ISO-8859-1''svc"}, 401), ({"username": None, "username*": "svc"}, 401),
     ({"username": None, "username*": "UTF-8''%zz"}, 401), ({"userhash": "true"}, 401), ({"userhash": "no"}, 200)],
    ids=str,
)  # fmt: skip
def test_credentials_that_are_wrong_are_401_and_those_that_make_no_sense_400(
    changes: dict[str, str | None], expected: int
) -> None:
    of = verifier()
    assert status(of, given_by(of, **changes)) == expected


@pytest.mark.parametrize("value", [b"Digest", b"Digest =", b"Basic YQ==", b"Digest \xff", b"", b"Digest YQ=="])
def test_a_field_that_is_no_digest_is_never_let_in(value: bytes) -> None:
    assert status(verifier(), patch().with_header(b"Authorization", value)) in (400, 401)
    twice = (b"Authorization", b"Digest a=b")
    assert status(verifier(), Request("PATCH", ORIGIN, b"/", (twice, twice))) == 400


@given(st.dictionaries(st.sampled_from(["username", "realm", "nonce", "uri", "response", "nc", "cnonce", "qop",
    "algorithm", "opaque", "username*", "userhash"]), st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)),
    max_size=12))  # fmt: skip
def test_no_credentials_make_the_verifier_stumble(parameters: dict[str, str]) -> None:
    of = verifier()
    text = ", ".join(f"{name}={quote(value)}" for name, value in parameters.items())
    assert status(of, patch().with_header(b"Authorization", f"Digest {text}".strip().encode())) in (400, 401)


def test_a_challenge_for_each_algorithm_says_what_is_demanded() -> None:
    of = verifier(algorithms=("SHA-256", "MD5-sess"), qops=("auth", "auth-int"), userhash=True, domain="/a /b")
    first, second = (dict(parse_strictly(value)[0].parameters) for value in of.challenges(NOW, stale=True))
    nonces = {first.pop("nonce"), second.pop("nonce")}
    assert len(nonces) == 2
    assert second.pop("algorithm") == "MD5-sess"
    assert first.pop("algorithm") == "SHA-256"
    assert first == second == {
        "realm": 'the "realm"', "qop": "auth, auth-int", "opaque": "patchwire", "domain": "/a /b", "charset": "UTF-8",
        "userhash": "true", "stale": "true",
    }  # fmt: skip
    plain = verifier(qops=(), opaque=None, utf8=False).challenges(NOW)[0]
    assert set(dict(parse_strictly(plain)[0].parameters)) == {"realm", "nonce", "algorithm"}


def test_credentials_are_good_once() -> None:
    of = verifier()
    request = given_by(of)
    assert [status(of, request) for _ in range(3)] == [200, 401, 401]
    assert b"stale" not in dict(of.judge(request, NOW).headers)[b"WWW-Authenticate"]  # type: ignore[union-attr]


def test_right_credentials_with_an_old_nonce_are_stale_and_wrong_ones_are_not() -> None:
    of = verifier()
    for request, is_stale in ((given_by(of), True), (given_by(of, response="0" * 64), False)):
        verdict = of.judge(request, NOW + 100)
        assert isinstance(verdict, Refused)
        assert (b"stale=true" in dict(verdict.headers)[b"WWW-Authenticate"]) is is_stale


def test_a_look_at_the_head_alone_uses_nothing_up() -> None:
    of = verifier(qops=("auth-int",))
    request = given_by(of)
    head = Request(request.method, request.origin, request.target, request.headers)
    verdict = of.judge(head, NOW, has_body=False)
    assert isinstance(verdict, Admitted)
    assert (verdict.user, verdict.provisional) == ("svc", True)
    assert status(of, head) == 401
    assert status(of, request) == 200
    assert status(of, request) == 401


def test_without_a_qop_there_is_nothing_to_prove() -> None:
    of = verifier(qops=())
    verdict = of.judge(given_by(of), NOW)
    assert isinstance(verdict, Admitted)
    response = Response(200)
    assert verdict.signed(response, NOW) is response


def test_an_unknown_algorithm_is_refused_by_name() -> None:
    with pytest.raises(LocalProtocolError, match="'SHA-1' is no Digest algorithm; known are"):
        verifier(algorithms=("SHA-1",))


def test_no_password_shows() -> None:
    assert repr(verifier()) == "<DigestVerifier of 2 users>"
