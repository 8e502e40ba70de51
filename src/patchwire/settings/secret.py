"""The four ways in which a file may refer to a secret."""

from __future__ import annotations

from msgspec import Struct

from patchwire.errors import SettingsError

KINDS = ("env", "file", "keyring", "literal")
REMEDY = 'write it as "env:NAME", "file:PATH", "keyring:SERVICE/USER" or "literal:TEXT"'


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


def reference_of(place: str, key: str, text: str) -> SecretReference:
    """The reference that stands at `key`. SettingsError where it is a bare text."""
    reference = parse_reference(text)
    if reference is None:
        raise SettingsError(place, f"{key}: a secret must not stand here as bare text; {REMEDY}")
    return reference
