"""The claims of a JWT that authenticates a client, or stands for its user (RFC 7523)."""

from __future__ import annotations

from typing import Final

from patchwire.errors import LocalProtocolError

CLIENT_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
"""`client_assertion_type`, to the letter (section 2.2)."""
CLAIMS: Final = frozenset({"iss", "sub", "aud", "jti", "iat", "exp"})
"""Those that are made here."""
GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
"""`grant_type` where the assertion is the grant (section 2.1)."""


def assertion_claims(
    *, issuer: str, subject: str, audience: str, now: float, lifetime: int, token_id: str
) -> dict[str, object]:
    """What section 3 demands, from `now` in Unix seconds on for `lifetime` seconds. To authenticate a client, issuer
    and subject are its id.

    `audience` is the token endpoint or the server's issuer, `token_id` a random text that is never used again.
    LocalProtocolError where one of them is empty.
    """
    claims: dict[str, object] = {"iss": issuer, "sub": subject, "aud": audience, "jti": token_id}
    for name, value in claims.items():
        if not value:
            raise LocalProtocolError(f"an assertion must have a {name} (RFC 7523 section 3)")
    return {**claims, "iat": int(now), "exp": int(now) + lifetime}
