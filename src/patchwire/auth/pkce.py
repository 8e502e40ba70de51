"""Proof Key for Code Exchange (RFC 7636): a stolen authorization code is worth nothing without its verifier.

Only S256: a challenge that is its own verifier ("plain") protects from nobody who sees the request, and a client that
falls back to it can be made to (RFC 7636 section 7.2).
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final

from patchwire.auth.jws import base64url
from patchwire.errors import LocalProtocolError

METHOD: Final = "S256"

_verifier = re.compile(r"[A-Za-z0-9\-._~]{43,128}").fullmatch


def check_verifier(verifier: str) -> None:
    """LocalProtocolError unless it is 43 to 128 unreserved characters (section 4.1).

    32 random octets in base64url are 43 characters: the 256 bits of entropy that section 7.1 recommends.
    """
    if not _verifier(verifier):
        raise LocalProtocolError("a code verifier is 43 to 128 of A-Z a-z 0-9 - . _ ~ (RFC 7636 section 4.1)")


def challenge_of(verifier: str) -> str:
    """The code challenge of a verifier with S256 (section 4.2). LocalProtocolError where it is none."""
    check_verifier(verifier)
    return base64url(sha256(verifier.encode("ascii")).digest())
