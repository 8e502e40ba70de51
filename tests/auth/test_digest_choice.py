from __future__ import annotations

import pytest

from patchwire.auth.digest import ALGORITHMS, PROTECTIONS, Terms
from patchwire.auth.digest_choice import Challenged, choose, read, rejection, story, stronger
from patchwire.auth.nonces import End
from patchwire.auth.role import PROXY, SERVER
from patchwire.http.message import Response

MD5, SHA = 'Digest realm="r", nonce="n", qop=auth', 'Digest realm="r", nonce="n", qop=auth, algorithm=SHA-256'


def challenged(*lines: str) -> Challenged:
    headers = tuple((b"WWW-Authenticate", line.encode()) for line in lines)
    return read(Response(401, headers), SERVER, PROTECTIONS)


def chosen(*lines: str, allowed: tuple[str, ...] = ALGORITHMS, before: str | None = None) -> Terms | str:
    return choose(challenged(*lines), allowed, None if before is None else challenged(before).offers[0])


@pytest.mark.parametrize(
    "lines", [(SHA, MD5), (MD5, SHA), (f"{MD5}, {SHA}",), ("Basic realm=x", MD5, SHA), (f"Blackmagic, {SHA}, {MD5}",)]
)
def test_the_strongest_of_all_challenges_is_chosen_wherever_it_stands(lines: tuple[str, ...]) -> None:
    terms = chosen(*lines)
    assert isinstance(terms, Terms)
    assert terms.algorithm.name == "SHA-256"


@pytest.mark.parametrize(
    ("lines", "allowed", "why"),
    [((MD5,), ("SHA-256",), "Digest MD5 (not in digest.algorithms), this connection has Digest"),
     (("Basic realm=x, Negotiate",), ALGORITHMS, "Basic, Negotiate, this connection has Digest"),
     (("Digest realm=r",), ALGORITHMS, "Digest that cannot be answered (it has no nonce), this connection has Digest"),
     ((), ALGORITHMS, "no scheme at all, this connection has Digest"),
     (("a,b,c,d,e,f",), ALGORITHMS, "A, B, C, D and 2 more, this connection has Digest")],
)  # fmt: skip
def test_where_none_can_be_answered_it_is_said_what_there_was(
    lines: tuple[str, ...], allowed: tuple[str, ...], why: str
) -> None:
    assert chosen(*lines, allowed=allowed) == why


def test_an_offer_that_cannot_be_answered_hides_no_other() -> None:
    assert isinstance(chosen('Digest realm="r", nonce="n", algorithm=SHA-3', MD5), Terms)


def test_a_weaker_offer_than_was_accepted_is_refused_in_whatever_realm() -> None:
    other, plain = MD5.replace('"r"', '"other"'), SHA.replace(", qop=auth", "")
    weaker = "only Digest MD5 with qop auth, where SHA-256 with qop auth was accepted before"
    assert chosen(MD5, before=SHA) == weaker
    assert chosen(other, before=SHA) == weaker
    assert chosen(plain, before=SHA) == (
        "only Digest SHA-256 with no qop, where SHA-256 with qop auth was accepted before"
    )
    for offer, before in ((SHA, MD5), (MD5, MD5), (SHA, plain), (plain, plain), (SHA, plain)):
        assert isinstance(chosen(offer, before=before), Terms)
    assert isinstance(chosen(MD5, before=SHA, allowed=("MD5", "SHA-256")), Terms)


def test_the_stronger_of_two_is_the_more_preferred_algorithm_and_then_the_one_with_a_qop() -> None:
    sha, md5, plain = (challenged(each).offers[0] for each in (SHA, MD5, MD5.replace(", qop=auth", "")))
    assert stronger(sha, md5, ALGORITHMS) is stronger(md5, sha, ALGORITHMS) is sha
    assert stronger(plain, md5, ALGORITHMS) is stronger(md5, plain, ALGORITHMS) is md5
    assert stronger(sha, md5, ("SHA-512",)) is sha


def test_what_a_rejection_says_of_the_nonce_is_that_of_its_own_realm() -> None:
    terms = challenged(SHA).offers[0]
    other = 'Digest realm="other", nonce="n", stale=true'
    assert challenged(SHA).end(terms) is End.REJECTED
    assert challenged(MD5, f"{SHA}, stale=true").end(terms) is End.STALE
    assert challenged(other).end(terms) is End.LOST
    assert challenged(other, SHA).end(terms) is End.REJECTED


def test_a_proxy_is_read_from_its_own_field() -> None:
    response = Response(407, ((b"Proxy-Authenticate", SHA.encode()), (b"WWW-Authenticate", b"Basic")))
    found = read(response, PROXY, PROTECTIONS)
    assert (len(found.offers), found.others) == (1, [])


def test_the_log_tells_what_was_offered_and_why_it_was_chosen() -> None:
    found = challenged(MD5, SHA, "Basic realm=x", "Digest realm=r")
    terms = found.offers[1]
    assert story(found, terms) == (
        "Digest MD5, Digest SHA-256, Basic, Digest that cannot be answered (it has no nonce); "
        "chosen: Digest SHA-256 with qop auth, realm 'r', as the most preferred"
    )
    assert "with no qop" in story(found, challenged("Digest realm=r, nonce=n").offers[0])
    assert rejection(SERVER, "svc", terms, is_stale=True) == (
        "the server calls every nonce stale, also one that has just come (Digest SHA-256, realm 'r'), for user 'svc'"
    )
    assert (
        rejection(SERVER, "svc", terms, is_stale=False)
        == "user 'svc' or its password was rejected (Digest SHA-256, realm 'r')"
    )
