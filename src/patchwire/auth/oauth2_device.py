"""The device code: somebody accepts on another device, which the answer tells them to open (RFC 8628)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from patchwire.auth.oauth2_answer import error_in, members_of
from patchwire.http.message import Request, Response

INTERVAL: Final = 5.0
"""Seconds from one question to the next, where the server does not say."""
SLOWER: Final = 5.0
"""Seconds that each slow_down adds for good (RFC 8628 section 3.5)."""
LONGEST: Final = 3600.0
LIFETIME: Final = 600.0
"""Seconds that a code without a usable lifetime is taken to live."""


class DeviceAuthorization(Struct, frozen=True):
    """What the user is told, and what is asked with until they have accepted. Times in Unix seconds and seconds."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str | None
    expires_at: float
    interval: float = INTERVAL

    def __repr__(self) -> str:
        """Whoever has the device code gets the token."""
        return f"<DeviceAuthorization {self.verification_uri}>"


def device_authorization_in(
    response: Response, request: Request, now: float, hide: Callable[[str], str] = str
) -> DeviceAuthorization:
    """What the server answers (RFC 8628 section 3.2). TokenError where that is something else."""
    members = members_of(response)
    codes = [members.get(name) for name in ("device_code", "user_code", "verification_uri")]
    if "verification_uri" not in members:
        codes[2] = members.get("verification_url")  # as drafts had it, and Google has
    if response.status != 200 or not all(isinstance(code, str) and code.isprintable() and code for code in codes):
        raise error_in(response, request, hide)
    device_code, user_code, uri = map(str, codes)
    complete = members.get("verification_uri_complete")
    lifetime = _seconds(members.get("expires_in"), LIFETIME)
    return DeviceAuthorization(
        device_code,
        user_code,
        uri,
        complete if isinstance(complete, str) and complete.isprintable() else None,
        now + lifetime,
        _seconds(members.get("interval"), INTERVAL),
    )


def _seconds(given: object, default: float) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given) or given <= 0:
        return default
    return min(float(given), LONGEST)
