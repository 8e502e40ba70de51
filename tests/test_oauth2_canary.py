"""Secrets of OAuth 2.0 through every path: settings, tokens, codes, what servers quote, files, logs and kills."""

from __future__ import annotations

import json
import re
import subprocess
from base64 import b64encode
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, quote, quote_plus, urlencode, urlsplit

import pytest
import trio

from patchwire.http.message import Origin
from tests.support.batches import BatchFiles, people
from tests.support.commands import PATCHWIRE, environment, patchwire
from tests.support.consenting import BROWSER
from tests.support.jws_keys import ec_key, pem_of
from tests.support.origins import OK, Origins, run, status

CLIENT_SECRET, PASSWORD = "canary secret+9d1f/ü", "canary-password-52c7"
ACCESS, REFRESH, CODE, ID_TOKEN = "canary-access-77aa", "canary-refresh-18b2", "canary-code-c0de", "canary-id-token-5e"
GIVEN, PARAMETER = "canary-given-access-3f", "canary-parameter-04"
TEXTS = [CLIENT_SECRET, PASSWORD, ACCESS, REFRESH, CODE, ID_TOKEN, GIVEN, PARAMETER]
CANARIES = {form.encode() for text in TEXTS for form in (text, quote(text), quote_plus(text))} | {
    b64encode(f"app:{quote_plus(CLIENT_SECRET)}".encode()),
    b64encode(CLIENT_SECRET.encode()),
}
KEY = pem_of(ec_key("P-256"))
VARIABLES = {
    "CANARY_SECRET": CLIENT_SECRET, "CANARY_PASSWORD": PASSWORD, "CANARY_ACCESS": GIVEN, "CANARY_PARAMETER": PARAMETER,
}  # fmt: skip
SETTINGS = """authentication = "oauth2"
preemptive = true
[oauth2]
grant_type = "{grant}"
client_id = "app"
access_token_url = "{url}/token"
{more}
[oauth2.access_token_parameters]
custom = "env:CANARY_PARAMETER"
"""
WITH_SECRET = 'client_secret = "env:CANARY_SECRET"'
GRANTS = {
    "client_credentials": WITH_SECRET,
    "client_credentials, body": f'{WITH_SECRET}\nclient_authentication = "body"',
    "client_credentials, given": f'{WITH_SECRET}\naccess_token = "env:CANARY_ACCESS"',
    "client_credentials, client_secret_jwt": f'{WITH_SECRET}\nclient_authentication = "client_secret_jwt"',
    "password": f'{WITH_SECRET}\nusername = "ada"\npassword = "env:CANARY_PASSWORD"',
    "jwt_bearer": 'jwt = {key = "file:key.pem", algorithm = "ES256", subject = "ada"}',
}


def in_json(code: int, **members: object) -> bytes:
    body = json.dumps(members).encode()
    return b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (code, len(body), body)


def server(case: str) -> Origins:
    """An authorization server, and what its tokens are for. It quotes whatever it is sent."""

    def answer(method: str, target: str, body: bytes) -> bytes:
        fields = origin.fields[-1]
        said = f"{target} {fields.get('authorization')} {body.decode()} {parse_qs(body.decode())}"
        if target.startswith("/authorize"):
            asked = {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}
            given = urlencode({"code": CODE, "state": asked["state"]})
            return status(302, f"Location: {asked['redirect_uri']}?{given}", "Connection: close")
        if target == "/token":
            number = origin.times()["/token"]
            if case == "refused" or (case == "refused later" and number > 1):
                return in_json(400, error="invalid_request", error_description=said)
            if case == "says it in plain text":
                return b"HTTP/1.1 403 X\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (
                    len(said.encode()), said.encode(),
                )  # fmt: skip
            if case == "sends its token elsewhere":
                return status(307, "Location: http://127.0.0.1:1/token")
            if case == "gives a token with a line break":
                return in_json(200, access_token=f"{ACCESS}\r\nX: y", token_type="bearer")
            return in_json(
                200, access_token=ACCESS + "x" * number, token_type="Bearer", expires_in=3600, refresh_token=REFRESH,
                id_token=ID_TOKEN,
            )  # fmt: skip
        if case in ("rejects tokens", "refused later"):
            return status(401, f'WWW-Authenticate: Bearer error="invalid_token", error_description="of {method}"')
        if GIVEN in fields["authorization"]:
            return status(401, 'WWW-Authenticate: Bearer realm="r"')
        return OK

    origin = Origins(answer)
    return origin


def commands(files: BatchFiles) -> dict[str, list[str | Path]]:
    return {
        "check": [files.connection],
        "send": [files.connection, "/a", "--body", "{}", "-v", "-i"],
        "batch": [
            files.connection, files.records, "-v", "--output", files.output, "--failed", files.failed, "--unknown",
            files.unknown, "--responses", "--concurrency", "2",
        ],
        "journal": [files.journal, "-v"],
    }  # fmt: skip


async def results(
    each: dict[str, list[str | Path]], env: dict[str, str]
) -> dict[str, subprocess.CompletedProcess[str]]:
    """Of one command after the other."""
    done = {}
    for name, arguments in each.items():
        done[name] = await trio.to_thread.run_sync(partial(patchwire, name, *arguments, env=env))
    return done


def variables(directory: Path, **more: str) -> dict[str, str]:
    state = {"PATCHWIRE_STATE": str(directory / "state"), "CONSENTING_RESULT": str(directory / "page")}
    return environment(**VARIABLES, **state, BROWSER=BROWSER, PYTHONPATH=str(Path(__file__).parents[1]), **more)


def everything(directory: Path, done: dict[str, subprocess.CompletedProcess[str]]) -> dict[str, bytes]:
    """Whatever was written anywhere; of the token store too, which is encrypted."""
    files = {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    del files[str(directory / "key.pem")]
    shown = {name: f"{each.stdout}{each.stderr}".encode() for name, each in done.items()}
    return files | shown


def assert_no_secret(written: dict[str, bytes]) -> None:
    key = KEY.splitlines()[1].encode()
    for name, content in written.items():
        assert b"Traceback" not in content, content.decode()
        assert not [canary for canary in (*CANARIES, key) if canary in content], (name, content)
        assert not re.search(rb"eyJ[\w-]{8,}\.", content), f"an assertion is in {name}"


CASES = {
    "good": 0, "refused": 1, "refused later": 1, "says it in plain text": 1, "rejects tokens": 1,
    "sends its token elsewhere": 1, "gives a token with a line break": 1,
}  # fmt: skip


QUOTED = [(grant, case) for grant in ("client_credentials", "password") for case in CASES]
ONCE = [(grant, case) for grant in GRANTS for case in ("good", "refused") if (grant, case) not in QUOTED]


@pytest.mark.parametrize(("grant", "case"), QUOTED + ONCE)
def test_no_secret_of_oauth_is_in_anything_that_is_written_but_the_encrypted_store(
    tmp_path: Path, grant: str, case: str
) -> None:
    (tmp_path / "key.pem").write_text(KEY, "utf-8")

    async def job(url: Origin) -> dict[str, subprocess.CompletedProcess[str]]:
        settings = SETTINGS.format(grant=grant.partition(",")[0], url=url, more=GRANTS[grant])
        files = BatchFiles(tmp_path, url, settings)
        files.write(people(3))
        env = variables(tmp_path)
        each = commands(files).items()
        return {
            name: await trio.to_thread.run_sync(partial(patchwire, name, *arguments, env=env))
            for name, arguments in each
        }

    origin = server(case)
    done: dict[str, subprocess.CompletedProcess[str]] = run(origin, job)
    codes = [done[name].returncode for name in ("check", "send", "batch")]
    assert codes == [0, CASES[case], CASES[case]], [each.stderr for each in done.values()]
    assert any(PARAMETER in body.decode() for _, target, body in origin.seen if target == "/token")
    if case == "good":
        assert "> Authorization: ***" in done["send"].stderr
    assert_no_secret(everything(tmp_path, done))


def test_no_secret_is_in_anything_that_an_authorization_writes(tmp_path: Path) -> None:
    (tmp_path / "key.pem").touch()

    async def job(url: Origin) -> dict[str, subprocess.CompletedProcess[str]]:
        more = f'{WITH_SECRET}\nauthorization_url = "{url}/authorize"'
        files = BatchFiles(tmp_path, url, SETTINGS.format(grant="authorization_code", url=url, more=more))
        files.write(people(3))
        env = variables(tmp_path, CONSENTING_BUTTON="")
        return await results({"authorize": [files.connection, "-v"], **commands(files)}, env)

    origin = server("good")
    done: dict[str, subprocess.CompletedProcess[str]] = run(origin, job)
    assert [done[name].returncode for name in ("authorize", "send", "batch")] == [0, 0, 0], done["authorize"].stderr
    ((_, _, redeemed),) = [seen for seen in origin.seen if seen[1] == "/token"]
    (verifier,) = parse_qs(redeemed.decode())["code_verifier"]
    written = everything(tmp_path, done)
    assert_no_secret(written)
    assert not [name for name, content in written.items() if verifier.encode() in content]


def test_no_secret_is_in_what_a_killed_batch_leaves(tmp_path: Path) -> None:
    (tmp_path / "key.pem").touch()

    async def job(url: Origin) -> None:
        files = BatchFiles(tmp_path, url, SETTINGS.format(grant="password", url=url, more=GRANTS["password"]))
        files.write(people(2000))
        command = [*PATCHWIRE, "batch", str(files.connection), str(files.records), "--output", str(files.output)]
        process = await trio.lowlevel.open_process(command, env=variables(tmp_path))
        while len(origin.seen) < 300:
            await trio.sleep(0.001)
        process.kill()
        await process.wait()

    origin = server("good")
    run(origin, job)
    written = everything(tmp_path, {})
    assert len(written[str(tmp_path / "records.ndjson.journal-wal")]) > 10_000
    assert_no_secret(written)
