from __future__ import annotations

import pytest
import trio

from patchwire import connection_from, request_to
from patchwire.errors import ConnectError
from patchwire.http.message import Origin
from patchwire.net.connection import Connection
from patchwire.net.deadlines import Deadlines
from patchwire.net.elsewhere import Elsewhere
from patchwire.net.opening import Opener
from patchwire.settings.tls import TlsSettings
from tests.support.certificates import Authority
from tests.support.peer import listening

AUTHORITY = Authority()
ADA = AUTHORITY.issue("svc", client=True, server=False)


def test_no_other_origin_is_shown_the_client_certificate_and_all_are_held_to_what_is_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = {"ada.pem": ADA.combined_pem, "ca.pem": AUTHORITY.pem}
    tls = {"client_certificate": "ada.pem", "client_password": "literal:canary", "trust": ["ca.pem"]}
    settings = connection_from({"base_url": "https://home", "tls": tls}, files=files)
    assert settings.tls.client_certificate is not None
    opened: list[tuple[Origin, TlsSettings]] = []

    async def refused(_: Opener, origin: Origin, tls: TlsSettings) -> None:
        opened.append((origin, tls))
        await trio.lowlevel.checkpoint()
        raise ConnectError("refused", origin=str(origin))

    monkeypatch.setattr(Opener, "open", refused)
    away = Elsewhere(settings, Opener(settings), Deadlines(1.0))
    request = request_to("PATCH", "https://other/x", body=b"{}")
    assert not away.is_home(request)
    assert away.is_home(request_to("PATCH", "https://home/x", body=b"{}"))
    reply = trio.run(away.exchange, request)
    assert isinstance(reply.error, ConnectError)
    ((origin, tls_there),) = opened
    assert str(origin) == "https://other"
    assert (tls_there.client_certificate, tls_there.client_key, tls_there.client_password) == (None, None, None)
    assert tls_there.trust == settings.tls.trust


def test_whom_authentication_asks_is_shown_the_client_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"ada.pem": ADA.combined_pem, "ca.pem": AUTHORITY.pem}
    tls = {"client_certificate": "ada.pem", "client_password": "literal:canary", "trust": ["ca.pem"]}
    settings = connection_from({"base_url": "https://home", "tls": tls}, files=files)
    opened: list[tuple[Origin, TlsSettings]] = []

    async def refused(_: Opener, origin: Origin, tls: TlsSettings) -> None:
        opened.append((origin, tls))
        await trio.lowlevel.checkpoint()
        raise ConnectError("refused", origin=str(origin))

    monkeypatch.setattr(Opener, "open", refused)
    reply = trio.run(
        Elsewhere(settings, Opener(settings), Deadlines(1.0)).ask, request_to("POST", "https://as/token", body=b"a=b")
    )
    assert isinstance(reply.error, ConnectError)
    ((origin, tls_there),) = opened
    assert (str(origin), tls_there) == ("https://as", settings.tls)


def test_what_is_closed_while_it_connects_sends_nothing() -> None:
    settings = connection_from({"base_url": "http://home"})
    sent: list[bytes] = []

    async def peer(stream: trio.SocketStream) -> None:
        sent.append(await stream.receive_some())

    class Slow(Opener):
        async def open(self, origin: Origin | None = None, tls: TlsSettings | None = None) -> Connection:
            connection = await super().open(origin, tls)
            away.close()
            return connection

    async def main() -> None:
        async with listening(peer) as origin:
            with trio.fail_after(10), pytest.raises(trio.ClosedResourceError):
                await away.exchange(request_to("PATCH", f"{origin}/x", body=b"{}"))
            while not sent:
                await trio.sleep(0.01)

    away = Elsewhere(settings, Slow(settings), Deadlines(1.0))
    trio.run(main)
    assert sent == [b""]
