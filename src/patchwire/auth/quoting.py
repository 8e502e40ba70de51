"""Taking secrets out of what a peer quotes of our own requests, in whatever form it quotes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

SHORTEST: Final = 8
"""Characters from which on a secret is looked for anywhere; a shorter one is part of many words."""
_plain = re.compile(r"[A-Za-z0-9]").fullmatch


def hiding(secrets: Iterable[str]) -> Callable[[str], str]:
    """What puts *** in place of each secret in a text: as it is, percent-encoded, or with the escapes of JSON."""
    long_enough = sorted({secret for secret in secrets if len(secret) >= SHORTEST}, key=len, reverse=True)
    if not long_enough:
        return str
    found = re.compile("|".join("".join(map(_any_form, secret)) for secret in long_enough))
    return lambda text: found.sub("***", text)


def _any_form(character: str) -> str:
    if _plain(character):
        return character
    code = ord(character)
    return rf"(?:\\{re.escape(character)}|(?i:%{code:02x}|\\u{code:04x})|{re.escape(character)})"
