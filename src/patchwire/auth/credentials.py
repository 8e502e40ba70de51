"""A user name and a password, as Basic and Digest send and hash them."""

from __future__ import annotations

from typing import Literal
from unicodedata import normalize

from msgspec import Struct

from patchwire.errors import LocalProtocolError

Charset = Literal["UTF-8", "ISO-8859-1"]


class Credentials(Struct, frozen=True):
    """A user name and a password. `charset` is what they are encoded in where a server does not ask for UTF-8.

    LocalProtocolError where no scheme could send them (RFC 7617 section 2, RFC 7616 section 3.4.2).
    """

    user: str
    password: str
    charset: Charset = "UTF-8"

    def __post_init__(self) -> None:
        if ":" in self.user:
            raise LocalProtocolError("a user name must not hold a colon (RFC 7617 section 2)")
        for part, text in (("user name", self.user), ("password", self.password)):
            if any(character < " " or character == "\x7f" for character in text):
                raise LocalProtocolError(f"the {part} holds a control character (RFC 7617 section 2)")
            try:
                encode(text, self.charset)
            except UnicodeEncodeError:
                raise LocalProtocolError(f"the {part} cannot be encoded in {self.charset}") from None

    def __repr__(self) -> str:
        """Never shows the password."""
        return f"Credentials(user={self.user!r}, password=***)"

    def octets(self, *, utf8: bool) -> tuple[bytes, bytes]:
        """User name and password; `utf8` where the server asks for UTF-8."""
        charset = "UTF-8" if utf8 else self.charset
        return encode(self.user, charset), encode(self.password, charset)


def encode(text: str, charset: Charset) -> bytes:
    """The octets of a text; in UTF-8 those of its normalisation form C (RFC 7613 section 4.2)."""
    return normalize("NFC", text).encode() if charset == "UTF-8" else text.encode("latin-1")
