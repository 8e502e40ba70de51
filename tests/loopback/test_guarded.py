from __future__ import annotations

import json

from patchwire.auth.verify.bearer import BearerVerifier
from patchwire.http.media_types import MERGE_PATCH
from patchwire.http.message import Request
from patchwire.loopback.app import App, Change
from patchwire.loopback.authorization import METADATA, TOKEN
from patchwire.loopback.documents import document_of
from patchwire.loopback.guarded import GuardedApp
from tests.support.authorization import ORIGIN, authorization_server, post

SERVER = authorization_server(token_lifetime=60)
GUARDED = GuardedApp(App(BearerVerifier("r", {}, SERVER.user_of)), SERVER)
DOCUMENTS = {"/a": document_of(b"{}")}


def patch(token: str | None) -> Request:
    fields = [(b"Content-Type", MERGE_PATCH.encode())]
    if token is not None:
        fields.append((b"Authorization", b"Bearer " + token.encode()))
    return Request("PATCH", ORIGIN, b"/a", tuple(fields), b'{"n":1}')


def status(token: str | None, now: float = 1.0) -> tuple[int, str]:
    """Status, and the challenge."""
    response, _ = GUARDED.handle(patch(token), DOCUMENTS, now)
    return response.status, (response.header(b"www-authenticate") or b"").decode()


def test_a_token_of_the_server_lets_a_change_in_until_it_expires() -> None:
    response, change = GUARDED.handle(post(TOKEN, grant_type="client_credentials"), DOCUMENTS, 0.0)
    assert change is None
    token = json.loads(response.body)["access_token"]
    assert GUARDED.handle(patch(token), DOCUMENTS, 59.0)[1] == Change("/a", document_of(b'{"n":1}'))
    for refused in (status(token, 60.0), status("unknown")):
        assert refused[0] == 401
        assert 'error="invalid_token"' in refused[1]
    assert status(None) == (401, 'Bearer realm="r"')


def test_metadata_is_there_for_everybody() -> None:
    assert GUARDED.handle(Request("GET", ORIGIN, METADATA.encode()), DOCUMENTS, 0.0)[0].status == 200


def test_the_head_is_refused_by_the_one_that_it_is_for() -> None:
    refusals = [
        GUARDED.refuse(request, DOCUMENTS, 0.0)
        for request in (patch(None), Request("PATCH", ORIGIN, TOKEN.encode()), post(TOKEN))
    ]
    assert [refusal and refusal.status for refusal in refusals] == [401, 405, None]
