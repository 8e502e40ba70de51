from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.http.message import Origin, Request, Response
from patchwire.http.redirects import FOLLOWABLE, Redirects, redirected

HTTP, HTTPS = Origin("http", "h", 80), Origin("https", "h", 443)
FIELDS = ((b"Authorization", b"canary"), (b"X-Key", b"canary"), (b"Host", b"h"), (b"Content-Type", b"a/b"))
SECRET = {b"authorization", b"x-key"}
SOCKET = Origin("unix", "%2Frun%2Fapp.sock", 0)
ALL = Redirects(follow=FOLLOWABLE, other_origins=True)


def request(origin: Origin = HTTP, target: bytes = b"/a/b?c") -> Request:
    return Request("PATCH", origin, target, FIELDS, b"{}")


def to(location: str | None, status: int = 307) -> Response:
    return Response(status, () if location is None else ((b"Location", location.encode("latin-1")),))


@pytest.mark.parametrize("status", [200, 204, 300, 303, 304, 305, 400, 503])
def test_no_other_status_is_a_redirect_of_the_same_request(status: int) -> None:
    assert redirected(request(), to("/x", status), ALL, SECRET) is None


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize(
    ("location", "target"),
    [("/x?y", b"/x?y"), ("x", b"/a/x"), ("../x", b"/x"), ("?z", b"/a/b?z"), ("http://h/x#part", b"/x"),
     ("http://h:80", b"/"), ("//h/x", b"/x"), ("/%7e/%2e", b"/%7e/%2e")],
)  # fmt: skip
def test_a_redirect_within_the_origin_keeps_method_body_and_fields(status: int, location: str, target: bytes) -> None:
    assert redirected(request(), to(location, status), Redirects(), SECRET) == Request(
        "PATCH", HTTP, target, FIELDS, b"{}"
    )


@pytest.mark.parametrize("status", [301, 302])
def test_301_and_302_are_followed_only_if_they_are_named_and_then_as_they_were(status: int) -> None:
    assert redirected(request(), to("/x?secret", status), Redirects(), SECRET) == (
        f"{status} to http://h/x is not followed (redirects.follow)"
    )
    followed = redirected(request(), to("/x", status), ALL, SECRET)
    assert isinstance(followed, Request)
    assert (followed.method, followed.body) == ("PATCH", b"{}")


@pytest.mark.parametrize("location", ["http://evil/x", "http://h:8080/x", "https://h/x", "//evil/x"])
def test_another_origin_gets_nothing_unless_that_is_allowed_and_then_no_secret(location: str) -> None:
    kept = redirected(request(), to(location), Redirects(), SECRET)
    assert isinstance(kept, str)
    assert "is not followed (redirects.other_origins)" in kept
    followed = redirected(request(), to(location), ALL, SECRET)
    assert isinstance(followed, Request)
    assert followed.headers == ((b"Content-Type", b"a/b"),)
    assert (followed.method, followed.target, followed.body) == ("PATCH", b"/x", b"{}")


def test_it_never_goes_from_https_to_http() -> None:
    assert redirected(request(HTTPS), to("http://h/x"), ALL, SECRET) == (
        "307 to http://h/x is not followed: from https to http"
    )


@pytest.mark.parametrize(
    ("location", "problem"),
    [(None, "names no Location"), ("http://u:p@h/", "cannot be followed"), ("ftp://h/", "cannot be followed"),
     ("/a b", "cannot be followed"), ("/\u00e4", "cannot be followed"),
     ("http://\u00e4/", "cannot be followed"), ("http://h:x/", "cannot be followed"),
     ("http://[/", "cannot be followed"), ("/a|b", "character that is not allowed"), ("/%", "character that is not"),
     ("", "to http://h/a/b is not followed")],
)  # fmt: skip
def test_a_location_that_leads_nowhere_is_named(location: str | None, problem: str) -> None:
    found = redirected(request(), to(location), Redirects(follow=(308,)), SECRET)
    assert isinstance(found, str)
    assert found.startswith("307 ")
    assert problem in found
    assert "u:p" not in found


def test_a_target_in_absolute_form_stays_in_it() -> None:
    found = redirected(request(target=b"http://h/a/b"), to("x"), Redirects(), SECRET)
    assert isinstance(found, Request)
    assert found.target == b"http://h/a/x"


@given(st.text(max_size=30).map(lambda text: "http://h" + text) | st.text(max_size=30))
def test_any_location_is_followed_safely_or_not_at_all(location: str) -> None:
    try:
        response = to(location)
    except UnicodeEncodeError:
        return
    found = redirected(request(HTTPS), response, ALL, SECRET)
    assert found is not None
    if isinstance(found, Request):
        assert found.origin.scheme == "https"
        assert found.origin == HTTPS or found.header(b"authorization") is None


@pytest.mark.parametrize(
    "location", ["unix:/run/app.sock:/x", "UNIX:/run/docker.sock:/x", "unix:///run/docker.sock:/x"]
)
@pytest.mark.parametrize("origin", [HTTP, HTTPS, SOCKET], ids=str)
def test_no_location_leads_to_a_unix_socket(origin: Origin, location: str) -> None:
    found = redirected(request(origin), to(location), ALL, SECRET)
    assert isinstance(found, str)
    assert re.fullmatch(r"307 to unix:/run/(app|docker)\.sock:/x is not followed: it names a Unix socket", found)


@pytest.mark.parametrize(
    ("location", "target"),
    [("/x?y", b"/x?y"), ("x", b"/a/x"), ("http://localhost/x", b"/x"), ("//localhost/x", b"/x")],
)
def test_a_server_on_a_unix_socket_that_redirects_to_itself_is_followed_with_all_fields(
    location: str, target: bytes
) -> None:
    assert redirected(request(SOCKET), to(location), Redirects(), SECRET) == Request(
        "PATCH", SOCKET, target, FIELDS, b"{}"
    )


@pytest.mark.parametrize("location", ["http://localhost:8080/x", "https://localhost/x", "http://127.0.0.1/x"])
def test_a_server_on_a_unix_socket_that_redirects_elsewhere_is_not_sent_the_credentials(location: str) -> None:
    kept = redirected(request(SOCKET), to(location), Redirects(), SECRET)
    assert isinstance(kept, str)
    assert "is not followed (redirects.other_origins)" in kept
    followed = redirected(request(SOCKET), to(location), ALL, SECRET)
    assert isinstance(followed, Request)
    assert (str(followed.origin), followed.headers) == (location.removesuffix("/x"), ((b"Content-Type", b"a/b"),))


def test_http_on_localhost_is_a_unix_socket_to_nobody_else() -> None:
    kept = redirected(request(), to("http://localhost/x"), Redirects(), SECRET)
    assert kept == "307 to another origin, http://localhost/x, is not followed (redirects.other_origins)"
