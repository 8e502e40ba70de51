from __future__ import annotations

import pytest

from patchwire.auth.flow import FlowResult, NoAuthentication
from patchwire.http.message import Response, request_to

PATCH = request_to("PATCH", "http://h/a", body=b"{}")


@pytest.mark.parametrize("status", [200, 401, 500])
def test_without_authentication_one_request_gets_one_response(status: int) -> None:
    flow = NoAuthentication().flow(PATCH)
    assert next(flow).request is PATCH
    with pytest.raises(StopIteration) as end:
        flow.send(Response(status))
    assert end.value.value == FlowResult(Response(status))


def test_a_401_to_an_authorization_field_of_the_connection_is_a_refusal() -> None:
    flow = NoAuthentication().flow(PATCH.with_header(b"Authorization", b"Bearer canary"))
    next(flow)
    with pytest.raises(StopIteration) as end:
        flow.send(Response(401))
    assert "Authorization field" in str(end.value.value.refusal)
    assert "canary" not in str(end.value.value.refusal)
