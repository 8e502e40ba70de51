from __future__ import annotations

from typing import Any

import pytest
import trio

from patchwire import connection_from, request_to
from patchwire.errors import ConnectError
from patchwire.net import elsewhere
from patchwire.net.deadlines import Deadlines
from patchwire.net.elsewhere import Elsewhere
from patchwire.settings.connection import ConnectionSettings
from tests.support.certificates import Authority

AUTHORITY = Authority()
ADA = AUTHORITY.issue("svc", client=True, server=False)


def test_no_other_origin_is_shown_the_client_certificate_and_all_are_held_to_what_is_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = {"ada.pem": ADA.combined_pem, "ca.pem": AUTHORITY.pem}
    tls = {"client_certificate": "ada.pem", "client_password": "literal:canary", "trust": ["ca.pem"]}
    settings = connection_from({"base_url": "https://home", "tls": tls}, files=files)
    assert settings.tls.client_certificate is not None
    opened: list[ConnectionSettings] = []

    async def open_connection(given: ConnectionSettings, **_: Any) -> None:
        opened.append(given)
        await trio.lowlevel.checkpoint()
        raise ConnectError("refused", origin=str(given.origin))

    monkeypatch.setattr(elsewhere, "open_connection", open_connection)
    away = Elsewhere(settings, Deadlines(1.0), None)
    request = request_to("PATCH", "https://other/x", body=b"{}")
    assert not away.is_home(request)
    assert away.is_home(request_to("PATCH", "https://home/x", body=b"{}"))
    reply = trio.run(away.exchange, request)
    assert isinstance(reply.error, ConnectError)
    (given,) = opened
    assert (str(given.origin), given.limits) == ("https://other", settings.limits)
    tls_there = given.tls
    assert (tls_there.client_certificate, tls_there.client_key, tls_there.client_password) == (None, None, None)
    assert tls_there.trust == settings.tls.trust


def test_whom_authentication_asks_is_shown_the_client_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"ada.pem": ADA.combined_pem, "ca.pem": AUTHORITY.pem}
    tls = {"client_certificate": "ada.pem", "client_password": "literal:canary", "trust": ["ca.pem"]}
    settings = connection_from({"base_url": "https://home", "tls": tls}, files=files)
    opened: list[ConnectionSettings] = []

    async def open_connection(given: ConnectionSettings, **_: Any) -> None:
        opened.append(given)
        await trio.lowlevel.checkpoint()
        raise ConnectError("refused", origin=str(given.origin))

    monkeypatch.setattr(elsewhere, "open_connection", open_connection)
    reply = trio.run(
        Elsewhere(settings, Deadlines(1.0), None).ask, request_to("POST", "https://as/token", body=b"a=b")
    )
    assert isinstance(reply.error, ConnectError)
    (given,) = opened
    assert (str(given.origin), given.tls) == ("https://as", settings.tls)
