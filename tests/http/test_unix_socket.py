from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.errors import LocalProtocolError
from patchwire.http.message import Origin, Request, request_to, split_url
from patchwire.http.request_head import request_head
from patchwire.http.unix_socket import LONGEST


@pytest.mark.parametrize(
    ("url", "path", "target", "shown"),
    [
        ("unix:/run/app.sock", "/run/app.sock", b"/", "unix:/run/app.sock"),
        ("unix:/run/app.sock:", "/run/app.sock", b"/", "unix:/run/app.sock"),
        ("unix:/run/app.sock:/v1/people?x=1", "/run/app.sock", b"/v1/people?x=1", "unix:/run/app.sock"),
        ("unix:/s:/a:b?c:d", "/s", b"/a:b?c:d", "unix:/s"),
        ("UNIX:/S", "/S", b"/", "unix:/S"),
        ("unix:///run/app.sock:/v1", "/run/app.sock", b"/v1", "unix:/run/app.sock"),
        ("unix:/a%3Ab%20c%25:/v1", "/a:b c%", b"/v1", "unix:/a%3Ab%20c%25"),
        ("unix:/j%C3%BCrg/s", "/j\xfcrg/s", b"/", "unix:/j%C3%BCrg/s"),
        ("unix:/%FF", "/\udcff", b"/", "unix:/%FF"),
        ("unix:/" + "x" * (LONGEST - 1), "/" + "x" * (LONGEST - 1), b"/", "unix:/" + "x" * (LONGEST - 1)),
    ],
)
def test_a_url_of_a_unix_socket_is_split_at_its_second_colon(url: str, path: str, target: bytes, shown: str) -> None:
    origin, found = split_url(url)
    assert (origin.scheme, origin.port, origin.socket_path, found) == ("unix", 0, path, target)
    assert str(origin) == shown
    assert split_url(shown) == (origin, b"/")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("unix:", "the path of a Unix socket must be absolute; write \"unix:/run/app.sock:/v1\""),
        ("unix:run/app.sock", "must be absolute"),
        ("unix://run/app.sock", "must be absolute"),
        ("unix:////run", "must be absolute"),
        ("unix:@abstract", "must be absolute"),
        ("unix:/s:8080", "the path of HTTP must begin with a slash"),
        ("unix:/s:?x=1", "the path of HTTP must begin with a slash"),
        ("unix:/s?x=1", "a query belongs to the path of HTTP"),
        ("unix:/s:/a#b", "holds a fragment"),
        ("unix:/a%00b", "must not hold a zero octet"),
        ("unix:/" + "x" * LONGEST, "has at most 107 octets, this one has 108; a symbolic link may shorten it"),
        ("unix:/a b", "is no URL"),
        ("http://unix:/s", "it must begin with unix:"),
        ("HTTPS://unix:/s:/v1", "TLS is not spoken over a Unix socket"),
    ],
)  # fmt: skip
def test_a_url_that_leads_to_no_unix_socket_is_refused_with_the_remedy(url: str, problem: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        split_url(url)
    assert problem in str(caught.value)


@pytest.mark.parametrize("url", ["http://unix/s", "http://unix:8080/s", "https://unix.example/s"])
def test_a_host_may_be_named_unix(url: str) -> None:
    assert split_url(url)[0].socket_path is None


def test_a_request_over_a_unix_socket_names_localhost_as_its_host() -> None:
    request = request_to("PATCH", "unix:/run/app.sock:/v1?x", body=b"{}")
    head, _, _ = request_head(request)
    assert head.startswith(b"PATCH /v1?x HTTP/1.1\r\nHost: localhost\r\n")
    assert repr(request) == "<Request PATCH unix:/run/app.sock:/v1?x, 0 fields, 2 bytes>"


@given(st.binary(min_size=1, max_size=LONGEST - 1))
def test_any_path_that_a_file_may_have_is_shown_as_a_url_that_leads_there(octets: bytes) -> None:
    path = b"/" + octets.replace(b"\0", b"x").lstrip(b"/")
    origin = Origin("unix", "".join(f"%{octet:02X}" for octet in path), 0)
    found, target = split_url(str(origin))
    assert target == b"/"
    assert found.socket_path is not None
    assert found.socket_path.encode("utf-8", "surrogateescape") == path
    assert Request("PATCH", found, b"/").origin == found
