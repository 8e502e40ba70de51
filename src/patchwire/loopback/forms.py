"""Parameters as forms and queries carry them: application/x-www-form-urlencoded in UTF-8 (RFC 6749 appendix B)."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from msgspec import Struct

from patchwire.http.message import Request
from patchwire.loopback.content import media_type_of

FORM: Final = "application/x-www-form-urlencoded"
MAX_FORM: Final = 65_536
"""Octets."""
_MAX_PARAMETERS: Final = 100


class FormError(Exception):
    """The parameters cannot be read; the text may be told to who sent them."""


class Form(Struct, frozen=True):
    """Parameters by name. One without a value counts as missing (RFC 6749 section 3.1)."""

    values: dict[str, str]
    repeated: frozenset[str] = frozenset()
    """Names that stand more than once, which none may (same section)."""

    def __repr__(self) -> str:
        """Any may be a secret."""
        return f"<Form of {len(self.values)} parameters>"

    def get(self, name: str) -> str | None:
        """The value, or None."""
        return self.values.get(name) or None


def query_of(request: Request) -> Form:
    """The parameters in the query of the target."""
    return _form(request.target.partition(b"?")[2])


def form_in(request: Request) -> Form:
    """The parameters in the body, each of which stands once."""
    if media_type_of(request) != FORM:
        raise FormError(f"Content-Type must be {FORM}, in UTF-8.")
    if len(request.body) > MAX_FORM:
        raise FormError(f"A form must not be over {MAX_FORM} bytes.")
    form = _form(request.body)
    if form.repeated:
        raise FormError("A parameter stands more than once.")
    return form


def _form(octets: bytes) -> Form:
    try:
        pairs = parse_qsl(
            octets.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS
        )
    except ValueError:
        raise FormError("The parameters are too many, or not in UTF-8.") from None
    names = [name for name, _ in pairs]
    return Form(dict(pairs), frozenset(name for name in names if names.count(name) > 1))
