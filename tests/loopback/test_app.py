from __future__ import annotations

import json
from typing import Any

import pytest

from patchwire.auth.basic import authorization
from patchwire.auth.challenge import parse_strictly
from patchwire.auth.credentials import Credentials
from patchwire.auth.digest import authorization as authorization_of
from patchwire.auth.verify.basic import BasicVerifier
from patchwire.auth.verify.verdict import Refused, Verdict
from patchwire.http.media_types import JSON_PATCH, MERGE_PATCH
from patchwire.http.message import Origin, Request, Response
from patchwire.loopback.app import App, Change, path_of, refused_asterisk
from patchwire.loopback.documents import Document, document_of
from tests.support.digest_peer import digest_verifier

ORIGIN = Origin("http", "127.0.0.1", 8080)
BODY = b'{"n": 1, "list": [1, 2]}'
DOCUMENT = document_of(BODY)
TAG = DOCUMENT.etag
NOW = 784_111_777.0
PLAIN = App()


def ask(
    method: str,
    target: str = "/a",
    body: bytes = b"",
    app: App = PLAIN,
    **fields: str,
) -> tuple[Response, Change | None]:
    headers = tuple((name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in fields.items())
    documents: dict[str, Document] = {"/a": DOCUMENT}
    response, change = app.handle(Request(method, ORIGIN, target.encode(), headers, body), documents, NOW)
    assert documents == {"/a": DOCUMENT}
    if change is None or response.status >= 300:
        assert change is None
    if response.status >= 400 and method != "HEAD":
        assert response.header(b"content-type") == b"application/problem+json"
        problem = json.loads(response.body)
        assert (problem["status"], bool(problem["title"]), bool(problem["detail"])) == (response.status, True, True)
    return response, change


def patch(body: str | bytes, media_type: str = MERGE_PATCH, **fields: Any) -> tuple[Response, Change | None]:
    octets = body.encode() if isinstance(body, str) else body
    return ask("PATCH", body=octets, Content_Type=media_type, **fields)


def status_of_patch(media_type: str = MERGE_PATCH, **fields: str) -> int:
    return patch('{"n": 2}', media_type, **fields)[0].status


def test_get_gives_the_document_with_its_tag_and_date() -> None:
    response, _ = ask("GET")
    assert (response.status, response.body, response.header(b"etag")) == (200, BODY, TAG.encode())
    assert response.header(b"date") == b"Sun, 06 Nov 1994 08:49:37 GMT"
    assert response.header(b"content-length") == b"%d" % len(BODY)
    assert ask("GET", "/a?query")[0].status == 200
    assert ask("GET", "/b")[0].status == 404


def test_head_agrees_with_get_but_has_no_body() -> None:
    got, head = ask("GET")[0], ask("HEAD")[0]
    assert (head.status, head.headers, head.body) == (got.status, got.headers, b"")


@pytest.mark.parametrize("target", ["/a", "/none", "*"])
def test_options_tells_what_can_be_patched(target: str) -> None:
    response, _ = ask("OPTIONS", target)
    assert response.status == 204
    assert b"PATCH" in (response.header(b"allow") or b"")
    assert response.header(b"accept-patch") == f"{MERGE_PATCH}, {JSON_PATCH}".encode()
    assert response.header(b"content-length") is None


def test_a_merge_patch_changes_the_document_and_its_tag() -> None:
    response, change = patch('{"n": null, "m": {"x": 1}}')
    assert (response.status, response.body) == (200, b'{"list":[1,2],"m":{"x":1}}')
    assert change == Change("/a", document_of(response.body))
    assert response.header(b"etag") == document_of(response.body).etag.encode() != TAG.encode()


def test_a_json_patch_is_applied_whole_or_not_at_all() -> None:
    good = '[{"op": "test", "path": "/n", "value": 1}, {"op": "add", "path": "/list/-", "value": 3}]'
    response, change = patch(good, JSON_PATCH)
    assert (response.status, json.loads(response.body)) == (200, {"n": 1, "list": [1, 2, 3]})
    assert change is not None
    bad = '[{"op": "replace", "path": "/n", "value": 5}, {"op": "test", "path": "/n", "value": 1}]'
    assert patch(bad, JSON_PATCH)[0].status == 409


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        ("{", MERGE_PATCH, 400),
        (b'{"a": "\xff"}', MERGE_PATCH, 400),
        ("{}", JSON_PATCH, 400),
        ('[{"op": "spam", "path": ""}]', JSON_PATCH, 400),
        ('[{"op": "remove", "path": "/none"}]', JSON_PATCH, 422),
        ('[{"op": "test", "path": "/n", "value": true}]', JSON_PATCH, 409),
    ],
)
def test_a_patch_that_fails_says_whose_fault_it_is(body: str | bytes, media_type: str, status: int) -> None:
    assert patch(body, media_type)[0].status == status


@pytest.mark.parametrize(
    "media_type",
    [MERGE_PATCH, "Application/Merge-Patch+JSON", f"{MERGE_PATCH}; charset=utf-8", f'{MERGE_PATCH} ; charset="UTF-8";',
     f"{MERGE_PATCH};profile=x"],
)  # fmt: skip
def test_parameters_and_case_of_a_media_type_do_not_matter(media_type: str) -> None:
    assert status_of_patch(media_type) == 200


@pytest.mark.parametrize(
    "media_type", ["application/json", "text/plain", f"{MERGE_PATCH}; charset=latin-1", f"{MERGE_PATCH} x", "x", ""]
)
def test_another_media_type_is_415_with_accept_patch(media_type: str) -> None:
    response, _ = patch("{}", media_type)
    assert (response.status, response.header(b"accept-patch")) == (415, f"{MERGE_PATCH}, {JSON_PATCH}".encode())


def test_a_missing_media_type_is_never_guessed() -> None:
    assert ask("PATCH", body=b"{}")[0].status == 415
    double = Request("PATCH", ORIGIN, b"/a", ((b"Content-Type", MERGE_PATCH.encode()),) * 2, b"{}")
    assert App().handle(double, {"/a": DOCUMENT}, NOW)[0].status == 415


def test_a_coded_content_is_415_with_what_is_accepted() -> None:
    response, _ = patch("{}", Content_Encoding="gzip")
    assert (response.status, response.header(b"accept-encoding")) == (415, b"identity")
    assert status_of_patch(Content_Encoding="identity") == 200


def test_content_range_has_no_meaning_and_is_refused() -> None:
    assert status_of_patch(Content_Range="bytes 0-1/2") == 400


@pytest.mark.parametrize(
    ("tags", "status"),
    [(TAG, 200), ("*", 200), (f'"x", {TAG}', 200), (f'"a,b" ,, {TAG}', 200), ('"x"', 412), (f"W/{TAG}", 412),
     ("nonsense", 400), ("", 400), (f"{TAG} {TAG}", 400)],
)  # fmt: skip
def test_if_match_compares_strongly(tags: str, status: int) -> None:
    assert status_of_patch(If_Match=tags) == status


@pytest.mark.parametrize(("tags", "status"), [(TAG, 412), (f"W/{TAG}", 412), ("*", 412), ('"x"', 200)])
def test_if_none_match_compares_weakly(tags: str, status: int) -> None:
    assert status_of_patch(If_None_Match=tags) == status
    assert ask("GET", If_None_Match=tags)[0].status == (304 if status == 412 else 200)


def test_a_refused_precondition_tells_the_current_tag() -> None:
    assert patch("{}", If_Match='"x"')[0].header(b"etag") == TAG.encode()


def test_401_404_and_415_come_before_412() -> None:
    guarded = App(BasicVerifier("r", {"svc": "pw"}))
    stale: Any = {"If_Match": '"x"'}
    assert ask("PATCH", body=b"{}", app=guarded, Content_Type=MERGE_PATCH, **stale)[0].status == 401
    assert ask("PATCH", "/none", b"{}", Content_Type=MERGE_PATCH, **stale)[0].status == 404
    assert ask("PATCH", body=b"{}", Content_Type="text/plain", **stale)[0].status == 415
    assert patch("{", **stale)[0].status == 412


@pytest.mark.parametrize("method", ["POST", "DELETE", "CONNECT", "TRACE"])
def test_a_known_method_that_no_document_has_is_405_with_allow(method: str) -> None:
    response, _ = ask(method, "/a" if method != "CONNECT" else "h:1")
    assert response.status == 405
    assert b"PATCH" in (response.header(b"allow") or b"")


def test_an_unknown_method_is_501() -> None:
    assert ask("MKCOL")[0].status == 501


def test_put_stores_a_document_octet_for_octet() -> None:
    response, change = ask("PUT", "/new", b'{ "a": 1.50 }', Content_Type="application/json")
    assert (response.status, change) == (201, Change("/new", document_of(b'{ "a": 1.50 }')))
    assert ask("PUT", "/a", b"[]", Content_Type="application/json")[0].status == 204
    assert ask("PUT", "/a", b"[", Content_Type="application/json")[0].status == 400
    assert ask("PUT", "/a", b"[]", Content_Type="text/plain")[0].status == 415
    assert ask("PUT", "/a", b"[]", Content_Type="application/json", If_None_Match="*")[0].status == 412


def test_a_missing_document_is_created_by_a_merge_patch_only_where_that_is_allowed() -> None:
    creating = App(create_missing=True)
    assert ask("PATCH", "/new", b'{"a": 1}', Content_Type=MERGE_PATCH)[0].status == 404
    response, change = ask("PATCH", "/new", b'{"a": 1}', creating, Content_Type=MERGE_PATCH)
    assert (response.status, response.header(b"location")) == (201, b"/new")
    assert change == Change("/new", document_of(b'{"a":1}'))
    assert ask("PATCH", "/new", b"[]", creating, Content_Type=JSON_PATCH)[0].status == 404
    assert ask("PATCH", "/new", b"{}", creating, Content_Type=MERGE_PATCH, If_Match="*")[0].status == 412


@pytest.mark.parametrize(
    ("target", "path"), [(b"/a?b", "/a"), (b"*", "*"), (b"http://h/a/b?c", "/a/b"), (b"http://h", "/"), (b"/", "/")]
)
def test_the_path_is_that_of_the_target_in_any_form(target: bytes, path: str) -> None:
    method = "OPTIONS" if target == b"*" else "GET"
    assert path_of(Request(method, ORIGIN, target)) == path


@pytest.mark.parametrize(
    ("fields", "status"),
    [({}, 401), ({"Content_Type": MERGE_PATCH}, 401), ({"Content_Type": "x/y", "Authorization": "right"}, 415),
     ({"Content_Type": MERGE_PATCH, "Authorization": "right"}, None)],
)  # fmt: skip
def test_what_the_head_alone_refuses_is_known_before_the_body_comes(
    fields: dict[str, Any], status: int | None
) -> None:
    credentials = Credentials("svc", "pw")
    headers = tuple(
        (name.replace("_", "-").encode(), authorization(credentials) if value == "right" else value.encode())
        for name, value in fields.items()
    )
    refusal = App(BasicVerifier("r", {"svc": "pw"})).refuse(
        Request("PATCH", ORIGIN, b"/a", headers), {"/a": DOCUMENT}, NOW
    )
    assert (refusal.status if refusal else None) == status


def test_what_hangs_on_the_body_is_not_answered_before_it_has_come() -> None:
    app = App(digest_verifier(qops=("auth-int",)))
    (challenge, _) = (parse_strictly(value)[0] for value in app.verifier.challenges(NOW))  # type: ignore[union-attr]
    right, wrong = (
        authorization_of(challenge, Credentials("svc", password), method="PATCH", target=b"/none", body=b"{}",
                         cnonce="c", nonce_count=1).encode() for password in ("canary", "wrong")
    )  # fmt: skip
    for value in (right, wrong):
        request = Request("PATCH", ORIGIN, b"/none", ((b"Authorization", value),))
        assert app.refuse(request, {}, NOW) is None
    whole = Request("PATCH", ORIGIN, b"/none", ((b"Authorization", wrong),), b"{}")
    assert app.handle(whole, {}, NOW)[0].status == 401


def test_what_the_head_has_been_refused_with_cannot_be_used_again() -> None:
    app = App(digest_verifier())
    challenge = parse_strictly(app.verifier.challenges(NOW)[0])[0]  # type: ignore[union-attr]
    value = authorization_of(
        challenge, Credentials("svc", "canary"), method="PATCH", target=b"/none", cnonce="c", nonce_count=1
    ).encode()
    request = Request("PATCH", ORIGIN, b"/none", ((b"Authorization", value),), b"{}")
    refusal = app.refuse(request, {}, NOW)
    assert refusal is not None
    assert refusal.status == 404
    assert app.handle(request, {}, NOW)[0].status == 401


class Refusing:
    """Lets nobody in."""

    def __init__(self, refusal: Refused) -> None:
        self.refusal = refusal

    def judge(self, request: Request, now: float, *, has_body: bool = True) -> Verdict:
        return self.refusal


def test_a_refusal_with_content_of_its_own_is_answered_with_that() -> None:
    content = ("application/xml", "<Error>\u00e4</Error>".encode())
    app = App(Refusing(Refused(403, "not shown", ((b"x-amzn-ErrorType", b"Code"),), content)))
    request = Request("PATCH", ORIGIN, b"/a", ((b"Content-Type", MERGE_PATCH.encode()),), b"{}")
    expected = Response(
        403,
        (
            (b"x-amzn-ErrorType", b"Code"),
            (b"Content-Type", b"application/xml"),
            (b"Date", b"Sun, 06 Nov 1994 08:49:37 GMT"),
            (b"Content-Length", b"17"),
        ),
        content[1],
        b"Forbidden",
    )
    assert app.handle(request, {"/a": DOCUMENT}, NOW) == (expected, None)
    assert app.refuse(request, {"/a": DOCUMENT}, NOW) == expected
    head, change = app.handle(Request("HEAD", ORIGIN, b"/a"), {"/a": DOCUMENT}, NOW)
    assert (head.headers, head.body, change) == (expected.headers, b"", None)


def test_a_refusal_without_content_of_its_own_is_a_problem_that_says_why() -> None:
    app = App(Refusing(Refused(400, "because", ((b"WWW-Authenticate", b"X"),))))
    response, _ = ask("GET", app=app)
    assert (response.status, response.header(b"www-authenticate")) == (400, b"X")
    assert json.loads(response.body)["detail"] == "because"


@pytest.mark.parametrize(("method", "status"), [("PATCH", 405), ("GET", 405), ("DELETE", 405), ("MKCOL", 501)])
def test_only_options_may_ask_for_the_server_as_a_whole(method: str, status: int) -> None:
    refusal = refused_asterisk(method)
    assert refusal.status == status
    assert (refusal.header(b"allow") == b"OPTIONS") is (status == 405)


def test_without_a_verifier_the_head_alone_is_refused_for_its_target() -> None:
    request = Request("PATCH", ORIGIN, b"/none", ((b"Content-Type", MERGE_PATCH.encode()),))
    refusal = App().refuse(request, {}, NOW)
    assert refusal is not None
    assert refusal.status == 404
