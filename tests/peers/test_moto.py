"""That moto lets in what AWS's own signer has signed, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.support.moto import AwsKeys, BotocoreAuth, MotoServer, moto_server, needs_moto

pytestmark = [needs_moto, pytest.mark.peer]

MISMATCH = "SignatureDoesNotMatch"
UNKNOWN = "InvalidClientTokenId"


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MotoServer]:
    with moto_server(tmp_path_factory.mktemp("moto")) as server:
        yield server


def described(description: str) -> dict[str, Any]:
    """The body that sets the description of a REST API."""
    return {"patchOperations": [{"op": "replace", "path": "/description", "value": description}]}


def sent_with(moto: MotoServer, api: str, part: str, value: str) -> httpx.Response:
    """The answer to a change of which this part, `body`, `query` or a field, was replaced after it was signed."""
    with moto.client() as client:
        request = client.build_request("PATCH", f"/restapis/{api}", json=described("changed"))
        signed = next(BotocoreAuth(moto.keys).auth_flow(request))
        body = value.encode() if part == "body" else signed.content
        url = signed.url.copy_with(query=value.encode()) if part == "query" else signed.url
        fields = {name: text for name, text in signed.headers.items() if name != "content-length"}
        if part not in ("body", "query"):
            fields[part] = value
        return client.send(httpx.Request("PATCH", url, headers=fields, content=body), auth=None)


def code_of(answer: httpx.Response) -> str:
    """What moto calls the refusal."""
    found = re.search(r"<Code>(\w+)</Code>", answer.text)
    assert found is not None, answer.text
    return found[1]


def with_token(keys: AwsKeys, token: str | None) -> AwsKeys:
    return replace(keys, session_token=token)


def patched(moto: MotoServer, api: str, keys: AwsKeys | None = None) -> httpx.Response:
    with moto.client(keys) as client:
        return client.patch(f"/restapis/{api}", json=described("changed"))


def test_a_right_signature_changes_the_api_and_no_other(moto: MotoServer) -> None:
    changed, other = moto.create_apis(2)
    before = moto.api(changed)
    answer = patched(moto, changed)
    assert answer.status_code == 200
    assert moto.api(changed) == answer.json() == before | {"description": "changed"}
    assert moto.api(other)["description"] == "as created"


def test_temporary_keys_are_let_in_with_their_token(moto: MotoServer) -> None:
    (api,) = moto.create_apis(1)
    assert patched(moto, api, moto.temporary()).status_code == 200
    assert moto.api(api)["description"] == "changed"


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        pytest.param(lambda moto: AwsKeys(moto.access_key, "not this one"), MISMATCH, id="secret"),
        pytest.param(lambda moto: AwsKeys("AKIANOBODY", moto.secret_key), UNKNOWN, id="access key"),
        pytest.param(lambda moto: with_token(moto.keys, "of nobody"), UNKNOWN, id="a token that the user has not"),
        pytest.param(lambda moto: with_token(moto.temporary(), "another"), UNKNOWN, id="token"),
        pytest.param(lambda moto: with_token(moto.temporary(), None), UNKNOWN, id="no token"),
    ],
)
def test_wrong_keys_are_refused(moto: MotoServer, keys: Callable[[MotoServer], AwsKeys], code: str) -> None:
    (api,) = moto.create_apis(1)
    answer = patched(moto, api, keys(moto))
    assert (answer.status_code, code_of(answer)) == (403, code)
    assert moto.api(api)["description"] == "as created"


@pytest.mark.parametrize(
    ("part", "value"),
    [
        pytest.param("body", json.dumps(described("another")), id="body"),
        ("query", "a=1"),
        ("x-amz-date", "20200101T000000Z"),
        ("content-type", "application/json-patch+json"),
        ("host", "another"),
    ],
)
def test_what_was_changed_after_it_was_signed_is_refused(moto: MotoServer, part: str, value: str) -> None:
    (api,) = moto.create_apis(1)
    answer = sent_with(moto, api, part, value)
    assert (answer.status_code, code_of(answer)) == (403, MISMATCH)
    assert moto.api(api)["description"] == "as created"


def test_what_was_changed_but_not_signed_is_let_in(moto: MotoServer) -> None:
    (api,) = moto.create_apis(1)
    assert sent_with(moto, api, "accept", "application/json").status_code == 200
    assert moto.api(api)["description"] == "changed"


def test_what_is_signed_for_another_region_finds_no_api(moto: MotoServer) -> None:
    (api,) = moto.create_apis(1)
    with moto.client(region="us-west-2") as client:
        answer = client.patch(f"/restapis/{api}", json=described("changed"))
    assert answer.status_code == 404
    assert moto.api(api)["description"] == "as created"
