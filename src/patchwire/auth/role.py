"""Who asks for credentials: the origin server, or a proxy on the way to it (RFC 9110 sections 11.6 and 11.7)."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from patchwire.http.message import Response


class Role(Struct, frozen=True):
    """The status that asks for credentials, and the fields of the conversation about them; `challenge` and `info`,
    which are looked for, in lower case.
    """

    status: int
    challenge: bytes
    credentials: bytes
    info: bytes
    owner: str
    """As it is called in a message."""

    @property
    def by(self) -> str:
        """Behind "rejected", where it is not the server, whom everybody thinks of."""
        return "" if self is SERVER else f" by {self.owner}"

    @property
    def proof(self) -> bool | None:
        """What an answer that does not ask says of the credentials: a proxy hands on only what has good ones, while
        a server may answer anybody with, say, 404 (None).
        """
        return None if self is SERVER else True

    def is_asked_by(self, response: Response) -> bool:
        """Whether the response asks for credentials."""
        return response.status == self.status


SERVER: Final = Role(401, b"www-authenticate", b"Authorization", b"authentication-info", "the server")
PROXY: Final = Role(407, b"proxy-authenticate", b"Proxy-Authorization", b"proxy-authentication-info", "the proxy")
