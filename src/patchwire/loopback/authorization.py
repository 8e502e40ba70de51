"""Who may use the embedded server: anyone, or the bearer of one user name and password (RFC 7617)."""

from __future__ import annotations

from base64 import b64decode
from hmac import compare_digest
from typing import TypeAlias

from msgspec import Struct

from patchwire.auth.basic import Credentials
from patchwire.http.message import Request, Response
from patchwire.loopback.responses import problem


class Basic(Struct, frozen=True):
    """The one user that is let in, and the realm that the challenge names."""

    credentials: Credentials
    realm: str = "patchwire"


Requirement: TypeAlias = Basic | None
"""What a request must bring; None asks for nothing."""


def authorize(request: Request, requirement: Requirement) -> Response | None:
    """None where the request may go on, else the 401 with its challenge (RFC 7617 section 2)."""
    if requirement is None or _is_user(request, requirement):
        return None
    realm = requirement.realm.replace("\\", "\\\\").replace('"', '\\"').encode("utf-8")
    challenge = b'Basic realm="' + realm + b'", charset="UTF-8"'
    given = request.header(b"authorization") is not None
    detail = "These credentials are not accepted." if given else "This server asks for credentials."
    return problem(401, detail, ((b"WWW-Authenticate", challenge),))


def _is_user(request: Request, requirement: Basic) -> bool:
    given = request.all_values(b"authorization")
    if len(given) != 1:
        return False
    scheme, _, credentials = given[0].partition(b" ")
    if scheme.lower() != b"basic":
        return False
    try:
        pair = b64decode(credentials.lstrip(b" "), validate=True)
    except ValueError:
        return False
    known = requirement.credentials
    return compare_digest(pair, f"{known.user}:{known.password}".encode())
