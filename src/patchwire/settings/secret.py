"""Secrets: a type that does not print itself, and the four ways in which a file may refer to one."""

from __future__ import annotations

from typing import NoReturn

from msgspec import Struct

KINDS = ("env", "file", "keyring", "literal")
REMEDY = 'write it as "env:NAME", "file:PATH", "keyring:SERVICE/USER" or "literal:TEXT"'


class Secret:
    """A text that only `reveal` gives out; str, repr, format, pickle and JSON do not."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text. Hand it straight to what needs it."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "Secret(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


class SecretReference(Struct, frozen=True):
    """Where a secret is kept: `kind` is one of KINDS, `name` what follows the colon."""

    kind: str
    name: str

    def __repr__(self) -> str:
        """A literal is a secret itself."""
        return f"SecretReference({self.kind}:{'***' if self.kind == 'literal' else self.name})"


def parse_reference(text: str) -> SecretReference | None:
    """The reference that `text` is, or None where it is a bare text."""
    kind, colon, name = text.partition(":")
    return SecretReference(kind, name) if colon and kind in KINDS else None
