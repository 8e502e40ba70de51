"""That moto lets in what AWS's own signer has signed, and patchwire, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import httpx
import pytest
import trio

from patchwire import load_connection
from patchwire.http.message import request_to
from patchwire.net import PatchClient
from tests.support.aws_batches import signing
from tests.support.batches import BatchFiles
from tests.support.commands import patchwire, without_traceback
from tests.support.meddler import meddler
from tests.support.moto import REGION, SERVICE, AwsKeys, BotocoreAuth, MotoServer, moto_server, needs_moto

pytestmark = [needs_moto, pytest.mark.peer]

MISMATCH = "SignatureDoesNotMatch"
UNKNOWN = "InvalidClientTokenId"
JSON = "application/json"


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


# --- patchwire


def connection(directory: Path, moto: MotoServer, keys: AwsKeys, base_url: str | None = None) -> Path:
    """A connection file that signs with these keys."""
    settings = signing(keys, service=SERVICE, region=REGION)
    return BatchFiles(directory, base_url or moto.base_url, settings).connection


def sent(connection: Path, path: str, *options: str, value: str = "changed") -> CompletedProcess[str]:
    """`patchwire send` of a change of the description."""
    body = json.dumps(described(value))
    return patchwire("send", connection, path, "--body", body, "--media-type", JSON, *options)


def updates(apis: list[str], count: int) -> list[dict[str, Any]]:
    """Records that change the descriptions by turns; the last of each API sets its own."""
    return [
        {"path": f"/restapis/{apis[n % len(apis)]}", "body": described(f"text {n}"), "media_type": JSON}
        for n in range(count)
    ]


def run(files: BatchFiles, *options: str) -> CompletedProcess[str]:
    return patchwire("batch", files.connection, files.records, "--output", files.output, *options)


def test_send_changes_what_its_keys_may_change(moto: MotoServer, tmp_path: Path) -> None:
    (api,) = moto.create_apis(1)
    done = sent(connection(tmp_path, moto, moto.keys), f"/restapis/{api}", "-v")
    assert (done.returncode, without_traceback(done)[-1]) == (0, "patchwire: applied: 200 OK"), done.stderr
    assert moto.api(api) == json.loads(done.stdout)
    assert moto.api(api)["description"] == "changed"
    assert moto.answered(f"/restapis/{api}") == [200]
    scope = rf"Credential={moto.access_key}/\d{{8}}/{REGION}/{SERVICE}/aws4_request"
    (field,) = [line for line in done.stderr.splitlines() if "> Authorization: " in line]
    assert re.search(f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=content-type;host;x-amz-date, Signature=", field)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        pytest.param(
            lambda moto: AwsKeys(moto.access_key, "not-this-one"),
            f"signature with access key {{key}} was rejected ({MISMATCH}): check the secret key, service {SERVICE} and"
            f" region {REGION}",
            id="secret",
        ),
        pytest.param(
            lambda moto: AwsKeys("AKIANOBODY", moto.secret_key),
            f"access key {{key}} is not accepted ({UNKNOWN}): check it",
            id="access key",
        ),
        pytest.param(
            lambda moto: with_token(moto.temporary(), None),
            f"access key {{key}} is not accepted ({UNKNOWN}): check it",
            id="no token",
        ),
        pytest.param(
            lambda moto: with_token(moto.temporary(), "another-token"),
            f"access key {{key}} or its session token is not accepted ({UNKNOWN}): check it",
            id="token",
        ),
    ],
)
def test_send_with_wrong_keys_is_one_request_and_one_line_that_says_what_to_check(
    moto: MotoServer, tmp_path: Path, keys: Callable[[MotoServer], AwsKeys], said: str
) -> None:
    (api,) = moto.create_apis(1)
    wrong = keys(moto)
    done = sent(connection(tmp_path, moto, wrong), f"/restapis/{api}")
    (line,) = without_traceback(done)
    assert done.returncode == 1
    assert line.startswith("patchwire: rejected: 403 FORBIDDEN; ")
    assert said.format(key=wrong.access_key) in line
    assert not [secret for secret in (wrong.secret_key, wrong.session_token or wrong.secret_key) if secret in line]
    assert moto.answered(f"/restapis/{api}") == [403]
    assert moto.api(api)["description"] == "as created"


def test_send_is_let_in_with_temporary_keys_and_their_token(moto: MotoServer, tmp_path: Path) -> None:
    (api,) = moto.create_apis(1)
    done = sent(connection(tmp_path, moto, moto.temporary()), f"/restapis/{api}")
    assert done.returncode == 0, done.stderr
    assert moto.api(api)["description"] == "changed"


def test_a_body_that_was_changed_on_its_way_is_rejected(moto: MotoServer, tmp_path: Path) -> None:
    (api,) = moto.create_apis(1)
    port = int(moto.base_url.rpartition(":")[2])
    with meddler(port, change_body=lambda _, body: body.replace(b"changed", b"CHANGED")) as proxy:
        # The proxy hands on the Host that the client has signed, and moto takes that as it comes.
        done = sent(connection(tmp_path, moto, moto.keys, proxy), f"/restapis/{api}")
        whole = sent(connection(tmp_path, moto, moto.keys, proxy), f"/restapis/{api}", value="as it was")
    assert (done.returncode, whole.returncode) == (1, 0)
    assert f"rejected: 403 FORBIDDEN; the signature with access key {moto.access_key}" in done.stderr
    assert moto.answered(f"/restapis/{api}") == [403, 200]
    assert moto.api(api)["description"] == "as it was"


def test_a_service_and_a_region_that_the_catalogue_does_not_know_are_signed_for(
    moto: MotoServer, tmp_path: Path
) -> None:
    (api,) = moto.create_apis(1)
    custom = (f'custom_service = "{SERVICE}"', f'custom_region = "{REGION}"')
    settings = signing(moto.keys, *custom, service="custom", region="custom")
    files = BatchFiles(tmp_path, moto.base_url, settings)
    assert sent(files.connection, f"/restapis/{api}").returncode == 0
    assert moto.api(api)["description"] == "changed"


def test_a_path_is_encoded_once_more_for_its_signature(moto: MotoServer, tmp_path: Path) -> None:
    """moto calls a stage what stands in the path, whatever that stands for."""
    (api,) = moto.create_apis(1)
    stages = f"/restapis/{api}/stages"
    names = ["x%20y", "x+y", "caf%C3%A9", "100%25", "a'(b)*~", "a:b@c&d=e$"]
    files = BatchFiles(tmp_path, moto.base_url, signing(moto.keys, service=SERVICE, region=REGION))
    files.write({"path": f"{stages}/{name}", "body": described(name), "media_type": JSON} for name in names)
    with moto.client() as client:
        for name in names:
            client.post(stages, json={"stageName": name, "deploymentId": "d1"}).raise_for_status()
        done = run(files)
        assert (done.returncode, without_traceback(done)) == (0, []), done.stdout
        found = client.get(stages).raise_for_status().json()["item"]
    assert [(stage["stageName"], stage["description"]) for stage in found] == [(name, name) for name in names]


@pytest.mark.parametrize(
    "options",
    [
        ("--query", "b=2", "--query", "a=1 or 2", "--query", "B=3"),
        ("--query", "a-=1", "--query", "a=ü/+&=%", "--query", "empty="),
    ],
)
def test_a_query_is_signed_in_order(moto: MotoServer, tmp_path: Path, options: tuple[str, ...]) -> None:
    (api,) = moto.create_apis(1)
    done = sent(connection(tmp_path, moto, moto.keys), f"/restapis/{api}?z=0&b=1&b=0&only", *options)
    assert done.returncode == 0, done.stderr
    assert moto.api(api)["description"] == "changed"


def test_a_client_in_python_signs_each_of_many_requests(moto: MotoServer, tmp_path: Path) -> None:
    apis = moto.create_apis(5)
    settings = load_connection(connection(tmp_path, moto, moto.temporary()))
    statuses = {}

    async def change(client: PatchClient, api: str) -> None:
        fields = [("Content-Type", JSON)]
        request = request_to("PATCH", f"{moto.base_url}/restapis/{api}", fields, json.dumps(described(api)).encode())
        statuses[api] = (await client.send(request)).status

    async def main() -> None:
        async with PatchClient(settings, max_connections=3) as client, trio.open_nursery() as nursery:
            for api in apis:
                nursery.start_soon(change, client, api)

    trio.run(main)
    assert statuses == dict.fromkeys(apis, 200)
    assert [moto.api(api)["description"] for api in apis] == apis


def test_1_000_updates_of_20_apis_are_applied_and_the_last_of_each_is_what_moto_has(
    moto: MotoServer, tmp_path: Path
) -> None:
    apis = moto.create_apis(20)
    files = BatchFiles(tmp_path, moto.base_url, signing(moto.keys, service=SERVICE, region=REGION))
    files.write(updates(apis, 1_000))
    done = run(files)
    assert (done.returncode, without_traceback(done)) == (0, []), done.stderr
    assert [line["outcome"] for line in files.outcomes()] == ["applied"] * 1_000
    for number, api in enumerate(apis):
        assert moto.answered(f"/restapis/{api}") == [200] * 50
        assert moto.api(api)["description"] == f"text {980 + number}"


def test_a_wrong_secret_stops_a_batch_after_one_request_and_with_the_right_one_the_same_command_goes_on(
    moto: MotoServer, tmp_path: Path
) -> None:
    apis = moto.create_apis(20)
    wrong = AwsKeys(moto.access_key, "not-this-one")
    files = BatchFiles(tmp_path, moto.base_url, signing(wrong, service=SERVICE, region=REGION))
    files.write(updates(apis, 60))
    done = run(files)
    (line,) = without_traceback(done)
    assert (done.returncode, files.outcomes()) == (1, [])
    assert f"{moto.base_url}: the signature with access key {moto.access_key} was rejected ({MISMATCH}): check" in line
    assert moto.answered(*(f"/restapis/{api}" for api in apis)) == [403]
    assert "not-this-one" not in done.stderr + done.stdout
    connection(tmp_path, moto, moto.keys)
    again = run(files)
    assert again.returncode == 0, again.stderr
    assert [line["outcome"] for line in files.outcomes()] == ["applied"] * 60
    assert [moto.api(api)["description"] for api in apis] == [f"text {n}" for n in range(40, 60)]
    assert moto.answered(*(f"/restapis/{api}" for api in apis)).count(200) == 60


@pytest.mark.parametrize("position", [0, 7])
def test_an_api_that_does_not_exist_fails_its_own_record_alone(
    moto: MotoServer, tmp_path: Path, position: int
) -> None:
    apis = moto.create_apis(10)
    files = BatchFiles(tmp_path, moto.base_url, signing(moto.keys, service=SERVICE, region=REGION))
    records = updates(apis, 10)
    records.insert(position, records[0] | {"path": "/restapis/nosuchapi"})
    files.write(records)
    done = run(files)
    assert done.returncode == 1
    expected = [("applied", 200)] * 10
    expected.insert(position, ("rejected", 404))
    assert [(line["outcome"], line["status"]) for line in files.outcomes()] == expected
    assert [moto.api(api)["description"] for api in apis] == [f"text {n}" for n in range(10)]


def test_check_shows_what_moto_is_signed_for_and_finds_it(moto: MotoServer, tmp_path: Path) -> None:
    keys = moto.temporary()
    done = patchwire("check", connection(tmp_path, moto, keys), "--connect")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    key = f"aws.access_key {keys.access_key}"
    for line in (key, "aws.secret_key *** (literal)", "aws.session_token *** (literal)",
                 "aws.service apigateway (apigateway, Amazon API Gateway)"):  # fmt: skip
        assert line in lines
    assert any(re.fullmatch(rf"aws\.credential_scope \d{{8}}/{REGION}/{SERVICE}/aws4_request", line) for line in lines)
    assert lines[-1].startswith(f"connected {moto.base_url} ")
    assert not [secret for secret in (keys.secret_key, str(keys.session_token)) if secret in done.stdout]
