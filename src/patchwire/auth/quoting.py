"""Secrets in what we send, and taking them out of what a peer quotes of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from html import escape
from typing import Final
from urllib.parse import quote

SECRET_FIELDS: Final = frozenset(
    {"authorization", "proxy-authorization", "cookie", "x-api-key", "x-amz-security-token"},
)
"""Request fields (lower case) whose value is a secret whoever wrote it."""
SHORTEST: Final = 8
"""Characters from which on a secret is looked for anywhere; a shorter one is part of many words."""


def hiding(secrets: Iterable[str]) -> Callable[[str], str]:
    """What puts *** in place of each secret in a text, in each form in which peers quote. It may stand for octets,
    as Latin-1 characters do.

    It takes time in proportion to the text, whoever has written that.
    """
    forms = sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)

    def hide(text: str) -> str:
        for form in forms:
            text = text.replace(form, "***")
        return text

    return hide


def _forms(secret: str) -> set[str]:
    """As it is, percent-encoded once and twice and as in a form, with escapes of JSON and XML, and as octets in
    hexadecimal digits.
    """
    if len(secret) < SHORTEST:
        return set()
    in_json = json.dumps(secret)[1:-1]
    forms = {
        secret,
        secret.encode("utf-8", "surrogatepass").decode("latin-1"),
        in_json,
        in_json.replace("/", "\\/"),
        "".join(character if character.isalnum() else f"\\u{ord(character):04x}" for character in secret),
        "".join(character if character.isalnum() else f"\\u{ord(character):04X}" for character in secret),
        escape(secret, quote=False),
        escape(secret),
    }
    return forms.union(*(_forms_of_octets(octets) for octets in _encoded(secret)))


def _encoded(secret: str) -> set[bytes]:
    """In UTF-8, and in Latin-1 where that has all its characters."""
    octets = {secret.encode("utf-8", "surrogatepass")}
    if max(secret) <= "\xff":
        octets.add(secret.encode("latin-1"))
    return octets


def _forms_of_octets(octets: bytes) -> set[str]:
    encoded = quote(octets, safe="")
    return {
        encoded,
        _lower_escapes(encoded),
        encoded.replace("%20", "+"),
        _lower_escapes(encoded).replace("%20", "+"),
        quote(encoded, safe=""),
        octets.hex(),
        octets.hex(" "),
    }


def _lower_escapes(encoded: str) -> str:
    first, *rest = encoded.split("%")
    return "%".join([first, *(each[:2].lower() + each[2:] for each in rest)])
