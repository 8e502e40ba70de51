"""Device codes: asked for by a program without a browser, accepted by its user elsewhere (RFC 8628)."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from patchwire.loopback.expiring import Expiring
from patchwire.loopback.grants import MOST, Entropy, Grant, new_token
from patchwire.loopback.oauth_answers import OAuthError

DEVICE_LIFETIME: Final = 600
"""Seconds to accept it in."""
DEFAULT_INTERVAL: Final = 5
"""Seconds between two polls; so many more after each that came too soon (section 3.5)."""

_REMEMBERED: Final = 2.0 * DEVICE_LIFETIME  # so that a late poll is told why
_LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"  # no vowels, so no words (section 6.1)


class DeviceAnswer(Struct, frozen=True):
    """What the device is told; seconds."""

    device_code: str
    user_code: str
    interval: int

    def __repr__(self) -> str:
        """Never shows a code."""
        return "<DeviceAnswer>"


class Pending:
    """A request that waits for its user."""

    def __init__(self, client_id: str, scope: tuple[str, ...], interval: float, now: float) -> None:
        self.client_id = client_id
        self.scope = scope
        self.interval = interval
        self.expires_at = now + DEVICE_LIFETIME
        self.polled_at = float("-inf")
        self.user: str | None = None
        self.denied = False

    def __repr__(self) -> str:
        return f"<Pending of {self.client_id!r}>"

    def is_open(self, now: float) -> bool:
        """Whether the user may still decide."""
        return now < self.expires_at and self.user is None and not self.denied


class DeviceCodes:
    """Those that were given out. `interval` in seconds; `now` in Unix seconds throughout."""

    def __init__(self, entropy: Entropy, *, interval: int = DEFAULT_INTERVAL, most: int = MOST) -> None:
        self._entropy = entropy
        self._interval = interval
        self._by_device: Expiring[Pending] = Expiring(_REMEMBERED, most)
        self._by_user: Expiring[Pending] = Expiring(DEVICE_LIFETIME, most)

    def __repr__(self) -> str:
        """Never shows a code."""
        return f"<DeviceCodes, {len(self._by_device)} of them>"

    def begin(self, client_id: str, scope: tuple[str, ...], now: float) -> DeviceAnswer:
        """New codes for a client."""
        pending = Pending(client_id, scope, self._interval, now)
        answer = DeviceAnswer(new_token(self._entropy), _user_code(self._entropy), self._interval)
        self._by_device.put(answer.device_code, pending, now)
        self._by_user.put(_typed(answer.user_code), pending, now)
        return answer

    def find(self, user_code: str, now: float) -> Pending | None:
        """What waits for the code, however it was typed; None where nothing does."""
        pending = self._by_user.get(_typed(user_code), now)
        return pending if pending is not None and pending.is_open(now) else None

    def poll(self, device_code: str, client_id: str, now: float) -> Grant:
        """What the user has accepted, once. OAuthError until then, and where nothing will come (section 3.5)."""
        pending = self._by_device.get(device_code, now)
        if pending is None or pending.client_id != client_id:
            raise OAuthError("invalid_grant", "This device code is not known, or not this client's.")
        if pending.denied:
            raise OAuthError("access_denied", "The user has denied it.")
        if now >= pending.expires_at:
            raise OAuthError("expired_token", "The device code has expired.")
        if pending.user is None:
            raise self._not_yet(pending, now)
        self._by_device.take(device_code, now)
        return Grant(client_id, pending.user, pending.scope)

    def _not_yet(self, pending: Pending, now: float) -> OAuthError:
        too_soon = now - pending.polled_at < pending.interval
        pending.polled_at = now
        if too_soon:
            pending.interval += DEFAULT_INTERVAL
            return OAuthError("slow_down", f"Poll every {pending.interval} seconds.")
        return OAuthError("authorization_pending", "The user has not decided yet.")


def _user_code(entropy: Entropy) -> str:
    number = int.from_bytes(entropy(16), "big")  # so many bits that no letter is likelier than another
    letters = [_LETTERS[number // len(_LETTERS) ** place % len(_LETTERS)] for place in range(8)]
    return "".join(letters[:4]) + "-" + "".join(letters[4:])


def _typed(user_code: str) -> str:
    """In upper case, without what only makes it legible (section 6.1)."""
    return "".join(letter for letter in user_code.upper() if letter in _LETTERS)
