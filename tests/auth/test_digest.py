from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.auth import digest
from patchwire.auth.challenge import Challenge, parse, parse_strictly
from patchwire.auth.credentials import Credentials
from patchwire.auth.digest import (
    QOPS,
    Qop,
    Session,
    UnusableChallengeError,
    algorithm_named,
    authorization,
    fault_of_proof,
    strongest,
    understand,
)
from tests.support.vectors import VECTORS, load, needs_vectors

ALL = [name + form for name in digest.ALGORITHMS for form in ("", "-sess")]


def challenge(text: str) -> Challenge:
    (found,) = parse([text.encode("latin-1")])
    return found


def answer(value: str) -> dict[str, str]:
    """The parameters of an Authorization field."""
    (found,) = parse_strictly(value.encode("latin-1"))
    assert found.scheme == "digest"
    return dict(found.parameters)


def answered(
    text: str, credentials: Credentials, method: str = "GET", target: bytes = b"/dir/index.html", body: bytes = b"",
    cnonce: str = "0a4f113b", nonce_count: int = 1,
) -> dict[str, str]:  # fmt: skip
    return answer(
        authorization(
            challenge(text), credentials, method=method, target=target, body=body, cnonce=cnonce,
            nonce_count=nonce_count,
        )
    )  # fmt: skip


# --- the examples of the RFCs

RFC_7616 = (
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={}, '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
MUFASA = Credentials("Mufasa", "Circle of Life")
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
J = Credentials("J\u00e4s\u00f8n Doe", "Secret, or not?")
J_CNONCE = "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v"
J_CHALLENGE = (
    'Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, '
    'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", '
    "charset=UTF-8"
)


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
     ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1")],
)  # fmt: skip
def test_the_examples_of_rfc_7616_section_3_9_1_are_met(algorithm: str, response: str) -> None:
    value = authorization(
        challenge(RFC_7616.format(algorithm)), MUFASA, method="GET", target=b"/dir/index.html", cnonce=CNONCE,
        nonce_count=1,
    )  # fmt: skip
    assert answer(value) == {
        "username": "Mufasa", "realm": "http-auth@example.org", "uri": "/dir/index.html", "algorithm": algorithm,
        "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "nc": "00000001", "cnonce": CNONCE, "qop": "auth",
        "response": response, "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
    }  # fmt: skip
    for unquoted in ("nc=00000001", "qop=auth", f"algorithm={algorithm}"):
        assert f", {unquoted}" in value


def test_the_example_of_section_3_9_2_is_met_as_erratum_4897_has_it() -> None:
    found = answered(J_CHALLENGE + ", userhash=true", J, target=b"/doe.json", cnonce=J_CNONCE)
    assert found["username"] == "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"
    assert found["userhash"] == "true"
    assert found["response"] == "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"


def test_a_name_beyond_ascii_goes_percent_encoded_where_the_server_takes_utf_8() -> None:
    found = answered(J_CHALLENGE, J, target=b"/doe.json", cnonce=J_CNONCE)
    assert found["username*"] == "UTF-8''J%C3%A4s%C3%B8n%20Doe"
    assert "username" not in found
    assert "userhash" not in found
    assert found["response"] == "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"


@pytest.mark.parametrize(("charset", "name"), [("UTF-8", "\u00c3\u00a4"), ("ISO-8859-1", "\u00e4")])
def test_a_name_beyond_ascii_goes_in_the_charset_of_the_settings_where_the_server_says_none(
    charset: Any, name: str
) -> None:
    assert answered('Digest realm="r", nonce="n"', Credentials("\u00e4", "", charset))["username"] == name


def test_the_example_of_rfc_2617_section_3_5_is_met() -> None:
    found = answered(
        'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
        'opaque="5ccc069c403ebaf9f0171e9517f40e41"', Credentials("Mufasa", "Circle Of Life"),
    )  # fmt: skip
    assert found["response"] == "6629fae49393a05397450978507c4ef1"
    assert "algorithm" not in found


def test_the_example_of_rfc_2069_is_met_as_erratum_749_has_it() -> None:
    found = answered(
        'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
        'opaque="5ccc069c403ebaf9f0171e9517f40e41"', Credentials("Mufasa", "CircleOfLife"),
    )  # fmt: skip
    assert found["response"] == "1949323746fe6a43ef61f9606e7febea"
    assert not {"qop", "nc", "cnonce", "algorithm"} & set(found)


# --- the vectors


def cases() -> list[dict[str, Any]]:
    return load("digest/digest_vectors.json") if VECTORS else []


def challenge_of(case: dict[str, Any]) -> Challenge:
    """The challenge of a case, its realm and nonce those that the case names: a file of curl's may hold several."""
    text = (
        case["www_authenticate"].replace("%CR", "").replace("algorithm=MD5, algorithm=MD5, nonce=1", "algorithm=MD5")
    )
    found = challenge(text)
    named = {"realm": case["realm"], "nonce": case["nonce"]}
    return Challenge("digest", tuple((name, named.get(name, value)) for name, value in found.parameters))


@needs_vectors
@pytest.mark.parametrize("case", cases(), ids=lambda case: str(case["id"]))
def test_the_digest_vectors_are_met(case: dict[str, Any]) -> None:
    value = authorization(
        challenge_of(case), Credentials(case["username"], case["password"]), method=case["method"],
        target=case["uri"].encode(), body=case["body"].encode("latin-1"), cnonce=case["cnonce"] or "",
        nonce_count=int(case["nc"] or "1", 16),
    )  # fmt: skip
    found = answer(value)
    assert found["response"] == case["expected_response"]
    assert found.get("qop") == case["qop"]
    if "expected_authorization" in case:
        assert found == answer(case["expected_authorization"])
    if "expected_username_param" in case:
        assert found["username"] == case["expected_username_param"]
    if "expected_username_param_ext" in case:
        assert found["username*"] == case["expected_username_param_ext"]


# --- against a naive reading of the RFC


def naive(name: str, qop: str | None, parts: dict[str, bytes], method: str, body: bytes) -> str:
    """The response by the formulas of RFC 7616 section 3.4.1, written down plainly."""
    family = {"MD5": "md5", "SHA-256": "sha256", "SHA-512": "sha512", "SHA-512-256": "sha512_256"}

    def hashed(octets: bytes) -> bytes:
        return hashlib.new(family[name.removesuffix("-sess")], octets).hexdigest().encode()

    a1 = parts["user"] + b":" + parts["realm"] + b":" + parts["password"]
    if name.endswith("-sess"):
        a1 = hashed(a1) + b":" + parts["nonce"] + b":" + parts["cnonce"]
    a2 = method.encode() + b":" + parts["target"]
    if qop == "auth-int":
        a2 += b":" + hashed(body)
    if qop is None:
        return hashed(hashed(a1) + b":" + parts["nonce"] + b":" + hashed(a2)).decode()
    middle = b":".join((parts["nonce"], b"0000000a", parts["cnonce"], qop.encode()))
    return hashed(hashed(a1) + b":" + middle + b":" + hashed(a2)).decode()


TEXTS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=12)


@given(
    st.sampled_from(ALL), st.sampled_from([None, "auth", "auth-int"]), TEXTS.filter(lambda text: ":" not in text),
    TEXTS, TEXTS, TEXTS, st.binary(max_size=20),
)  # fmt: skip
def test_every_response_equals_a_naive_one_and_its_field_reads_back(
    name: str, qop: Qop | None, user: str, password: str, realm: str, nonce: str, body: bytes
) -> None:
    parameters = [("realm", realm), ("nonce", nonce), ("algorithm", name), *([("qop", qop)] if qop else [])]
    asked = Challenge("digest", tuple(parameters))
    try:
        credentials = Credentials(user, password, "ISO-8859-1")
    except Exception:
        return
    if name.endswith("-sess") and qop is None:
        with pytest.raises(UnusableChallengeError, match="needs a qop"):
            understand(asked)
        return
    value = authorization(asked, credentials, method="PATCH", target=b'/a"b', body=body, cnonce='c"\\', nonce_count=10)
    parts = {
        "user": user.encode("latin-1"), "password": password.encode("latin-1"), "realm": realm.encode("latin-1"),
        "nonce": nonce.encode("latin-1"), "cnonce": b'c"\\', "target": b'/a"b',
    }  # fmt: skip
    found = answer(value)
    assert found.pop("response") == naive(name, qop, parts, "PATCH", body)
    expected = {"username": user, "realm": realm, "nonce": nonce, "uri": '/a"b', "algorithm": name}
    assert found == expected | ({"qop": qop, "nc": "0000000a", "cnonce": 'c"\\'} if qop else {})


# --- challenges as they come


@pytest.mark.parametrize(
    ("given", "qop"),
    [('"auth"', "auth"), ("auth", "auth"), ('"AUTH"', "auth"), ('"auth-int, auth"', "auth"),
     ('"auth-int , auth"', "auth"), ('"crazy,auth"', "auth"), ('" auth-int\t"', "auth-int"), ('""', None)],
)  # fmt: skip
def test_qop_is_read_however_it_is_written(given: str, qop: str | None) -> None:
    assert understand(challenge(f'Digest realm="r", nonce="n", qop={given}')).qop == qop


def test_the_preferred_qop_is_used() -> None:
    asked = challenge('Digest realm="r", nonce="n", qop="auth,auth-int"')
    assert understand(asked, ("auth-int", "auth")).qop == "auth-int"
    with pytest.raises(UnusableChallengeError, match="qop 'auth,auth-int' is not in digest.qop"):
        understand(asked, ("none",))
    with pytest.raises(UnusableChallengeError, match="it has no qop, and digest.qop has no none"):
        understand(challenge('Digest realm="r", nonce="n"'), QOPS)
    assert understand(challenge('Digest realm="r", nonce="n"'), ("none",)).qop is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [('Digest realm="r"', "it has no nonce"), ("Digest", "it has no nonce"),
     ('Digest realm="r", nonce="n", algorithm=SHA-1', "its algorithm 'SHA-1' is unknown"),
     ('Digest realm="r", nonce="n", algorithm=MD5-sess-sess', "its algorithm 'MD5-sess-sess' is unknown"),
     ('Digest realm="r", nonce="n", algorithm=""', "its algorithm '' is unknown"),
     ('Digest realm="r", nonce="n", qop="crazy"', "its qop 'crazy' is unknown"),
     ('Digest realm="r", nonce="n", algorithm=MD5-sess', "its algorithm MD5-sess needs a qop"),
     (f'Digest realm="{"r" * 4097}", nonce="n"', "its realm is over 4096 octets"),
     (f'Digest realm="r", nonce="{"n" * 4097}"', "its nonce is over 4096 octets"),
     (f'Digest realm="r", nonce="n", opaque="{"o" * 4097}"', "its opaque is over 4096 octets")],
)  # fmt: skip
def test_a_challenge_that_cannot_be_answered_says_why(text: str, reason: str) -> None:
    with pytest.raises(UnusableChallengeError) as caught:
        understand(challenge(text))
    assert str(caught.value) == reason


def test_a_hash_that_this_machine_lacks_makes_its_challenges_unusable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(digest._HASHES, "SHA-256", "no_such_hash")
    with pytest.raises(UnusableChallengeError, match="this machine has no SHA-256"):
        understand(challenge('Digest realm="r", nonce="lacking", algorithm=SHA-256'))


@pytest.mark.parametrize("name", ALL)
def test_an_algorithm_is_known_in_any_case_and_sent_as_it_is_registered(name: str) -> None:
    found = algorithm_named(name.lower())
    assert found is not None
    assert (found.name, found.family, found.is_session) == (name, name.removesuffix("-sess"), name.endswith("sess"))


def test_parameters_are_read_in_any_case() -> None:
    terms = understand(
        challenge('Digest REALM="r", nonce=n, Stale="TRUE", userhash=True, charset="utf-8", domain="/a  http://x"')
    )
    assert (terms.stale, terms.userhash, terms.utf8, terms.domain) == (True, True, True, ("/a", "http://x"))
    plain = understand(challenge("Digest realm=r, nonce=n, stale=maybe"))
    assert (plain.stale, plain.userhash, plain.utf8, plain.domain, plain.opaque) == (False, False, False, (), None)


@pytest.mark.parametrize(("given", "sent"), [('opaque=""', ""), ('opaque="a b"', "a b"), ('opaque="\\"\\\\"', '"\\')])
def test_opaque_is_echoed_as_it_came(given: str, sent: str) -> None:
    assert answered(f'Digest realm="r", nonce="n", {given}', MUFASA)["opaque"] == sent


def test_a_missing_realm_is_an_empty_one() -> None:
    assert answered("Digest nonce=n", MUFASA)["realm"] == ""


def terms(name: str) -> digest.Terms:
    return understand(challenge(f'Digest realm="r", nonce="n", qop=auth, algorithm={name}'))


@pytest.mark.parametrize(
    ("offered", "allowed", "chosen"),
    [(["MD5", "SHA-256"], digest.ALGORITHMS, "SHA-256"),
     (["SHA-256", "SHA-512-256"], digest.ALGORITHMS, "SHA-512-256"),
     (["SHA-512", "MD5"], digest.ALGORITHMS, "MD5"), (["SHA-512"], digest.ALGORITHMS, "SHA-512"),
     (["MD5", "SHA-256-sess"], digest.ALGORITHMS, "SHA-256-sess"), (["SHA-256", "MD5"], ["MD5", "SHA-256"], "MD5"),
     (["SHA-256-sess", "SHA-256"], ["SHA-256"], "SHA-256-sess"),
     (["SHA-256", "SHA-256-sess"], ["SHA-256-sess"], "SHA-256-sess"),
     (["MD5"], ["SHA-256"], None), (["SHA-256"], ["SHA-256-sess"], None), ([], digest.ALGORITHMS, None)],
)  # fmt: skip
def test_the_most_preferred_algorithm_that_is_offered_wins(
    offered: list[str], allowed: list[str], chosen: str | None
) -> None:
    found = strongest([terms(name) for name in offered], allowed)
    assert (found.algorithm.name if found else None) == chosen


# --- rspauth


def session(qop: str = "auth", name: str = "SHA-256") -> Session:
    return Session(
        understand(challenge(f'Digest realm="r", nonce="n", algorithm={name}, qop="{qop}"')), MUFASA, b"abc"
    )


def proof(of: Session, body: bytes | None = None, count: int = 1) -> str:
    body_hash = None if body is None else of.terms.algorithm.hash(body)
    return of.rspauth(b"/a", count, body_hash)


def test_the_proof_of_the_server_is_that_of_rfc_7616_section_3_5() -> None:
    expected = naive(
        "SHA-256", "auth",
        {"user": b"Mufasa", "realm": b"r", "password": b"Circle of Life", "nonce": b"n", "cnonce": b"abc",
         "target": b"/a"},
        "", b"",
    )  # fmt: skip
    assert proof(session(), count=10) == expected


@pytest.mark.parametrize("name", ALL)
def test_the_right_proof_raises_no_doubt(name: str) -> None:
    for qop in QOPS:
        of = session(qop, name)
        info = {"rspauth": proof(of, b"body"), "qop": qop.upper(), "nc": "00000001", "cnonce": "abc"}
        assert fault_of_proof(info, of, b"/a", 1, b"body") is None
        assert fault_of_proof({"rspauth": info["rspauth"].upper()}, of, b"/a", 1, b"body") is None


def test_no_proof_raises_no_doubt() -> None:
    assert fault_of_proof({"nextnonce": "x"}, session(), b"/a", 1, b"") is None


@pytest.mark.parametrize(
    ("change", "fault"),
    [({"rspauth": "0" * 64}, "it is wrong"), ({"rspauth": ""}, "it is wrong"), ({"rspauth": "\u00e4"}, "it is wrong"),
     ({"nc": "00000002"}, "its nc or cnonce is not that of the request"),
     ({"cnonce": "ABC"}, "its nc or cnonce is not that of the request"),
     ({"qop": "auth-conf"}, "its qop is not that of the request"),
     ({"qop": "auth-int"}, "its qop is not that of the request")],
)  # fmt: skip
def test_a_proof_that_is_wrong_or_of_another_request_is_a_fault(change: dict[str, str], fault: str) -> None:
    info = {"rspauth": proof(session()), "qop": "auth", "nc": "00000001", "cnonce": "abc", **change}
    assert fault_of_proof(info, session(), b"/a", 1, b"") == fault


def test_a_proof_over_the_body_needs_the_whole_body() -> None:
    of = session("auth-int")
    info = {"rspauth": proof(of, b"body")}
    assert fault_of_proof(info, of, b"/a", 1, b"other") == "it is wrong"
    assert fault_of_proof(info, of, b"/a", 1, None) == "it covers a body that did not come whole"


def test_a_proof_without_qop_is_checked_too() -> None:
    of = session("")
    assert fault_of_proof({"rspauth": proof(of)}, of, b"/a", 1, b"") is None
    assert fault_of_proof({"rspauth": "0"}, of, b"/a", 1, b"") == "it is wrong"


def test_a_session_does_not_show_its_key() -> None:
    assert repr(session()) == "<Session SHA-256 of realm b'r'>"
