from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from tests.support.authorization import decide, decide_on_device
from tests.support.commands import PATCHWIRE, environment, patchwire, running, serving, without_traceback
from tests.support.consenting import BROWSER

SECRET = "canary-secret-31f0"
CODE = 'grant_type = "authorization_code"\n'
GUARD = (
    *("--auth", "bearer", "--client-id", "app", "--client-secret", f"literal:{SECRET}", "--create-missing"),
    *("--user", "ada", "--password", "literal:canary-password-88"),
)


@pytest.fixture
def url() -> Iterator[str]:
    with serving(*GUARD) as address:
        yield address


def connection(directory: Path, url: str, lines: str = CODE, *, scope: str = "read write") -> Path:
    path = directory / "crm.toml"
    path.write_text(
        f'base_url = "{url}"\nauthentication = "oauth2"\npreemptive = true\n[oauth2]\n{lines}client_id = "app"\n'
        f'client_secret = "literal:{SECRET}"\nscope = "{scope}"\n'
        f'metadata_url = "{url}/.well-known/oauth-authorization-server"\n',
        "utf-8",
    )
    return path


def variables(directory: Path, **more: str) -> dict[str, str]:
    given = {"PATCHWIRE_STATE": str(directory / "state"), "CONSENTING_RESULT": str(directory / "page"), **more}
    root = str(Path(__file__).parents[2])
    return environment(**{"BROWSER": BROWSER, "PYTHONPATH": root, **given})


def sends(file: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return patchwire("send", file, "/a", "--body", "{}", env=env)


def secrets_in(text: str) -> list[str]:
    """Codes, tokens and the client's secret, as they look here."""
    return [SECRET] * (SECRET in text) + re.findall(r"(?:code|access_token|refresh_token)=(?!\*)[^\s&]+", text)


def test_a_browser_is_opened_and_the_token_that_comes_of_it_is_used_and_kept(tmp_path: Path, url: str) -> None:
    file, env = connection(tmp_path, url), variables(tmp_path)
    assert sends(file, env).returncode == 1
    done = patchwire("authorize", file, "-v", env=env)
    assert done.returncode == 0, done.stderr
    last = without_traceback(done)[-1]
    assert last.startswith("patchwire: access granted: the token is kept, until ")
    assert last.endswith(", and renewed from then on")
    address, page = (tmp_path / "page").read_text("utf-8").split("\n", 1)
    assert urlsplit(address).path == "/patchwire/result"
    assert "<h1>Access granted</h1>" in page
    assert secrets_in(done.stderr + done.stdout + address + page) == []
    assert sends(file, env).returncode == 0
    kept = {path.name: path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file()}
    assert not [name for name, content in kept.items() if b"token" in content]


def test_what_a_user_denies_is_said_on_the_page_and_at_the_terminal(tmp_path: Path, url: str) -> None:
    done = patchwire("authorize", connection(tmp_path, url), env=variables(tmp_path, CONSENTING_BUTTON="deny"))
    assert done.returncode == 1
    assert "refused: access_denied" in without_traceback(done)[-1]
    assert "<h1>No access</h1><p>the authorization server refused: access_denied" in (tmp_path / "page").read_text()


def test_the_password_grant_is_generated_without_anybody_and_warns(tmp_path: Path, url: str) -> None:
    lines = 'grant_type = "password"\nusername = "ada"\npassword = "literal:canary-password-88"\n'
    file, env = connection(tmp_path, url, lines), variables(tmp_path, BROWSER="/nowhere")
    done = patchwire("authorize", file, "-v", env=env)
    assert done.returncode == 0, done.stderr
    assert "patchwire: warning: the password grant" in without_traceback(done)[0]
    assert "canary" not in done.stderr + done.stdout
    assert sends(file, env).returncode == 0


def test_without_a_browser_the_address_is_printed_and_that_of_the_callback_is_pasted(tmp_path: Path, url: str) -> None:
    file, env = connection(tmp_path, url), variables(tmp_path)
    with running("authorize", file, "--no-browser", stdin=-1, stdout=-1, stderr=subprocess.STDOUT, env=env) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        lines = iter(process.stdout.readline, b"")
        address = next(line.decode().strip() for line in lines if line.startswith(b"http"))
        query = parse_qs(urlsplit(address).query)
        assert (query["code_challenge_method"], query["redirect_uri"]) == (
            ["S256"],
            ["http://127.0.0.1:8976/callback"],
        )
        with httpx.Client(trust_env=False) as client:
            callback = decide(client, address, "accept")
        process.stdin.write(f"  {callback} \n".encode())
        process.stdin.close()
        assert process.wait(30) == 0, process.stdout.read()
    assert sends(file, env).returncode == 0


def test_nothing_pasted_is_said_in_one_line(tmp_path: Path, url: str) -> None:
    done = patchwire("authorize", connection(tmp_path, url), "--no-browser", env=variables(tmp_path), input="")
    assert done.returncode == 1
    assert without_traceback(done)[-1] == "patchwire: no address was given"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda query: query | {"state": "x" * 64}, "the state of the authorization server's answer is of another"),
        (lambda query: {**query, "iss": "https://evil.example"}, "another issuer than the authorization server"),
        (lambda query: {name: value for name, value in query.items() if name != "iss"}, "does not name its issuer"),
        (lambda query: query | {"code": "never-issued"}, "answered 400: invalid_grant"),
    ],
)
def test_an_answer_that_may_be_forged_is_refused(tmp_path: Path, url: str, change: object, said: str) -> None:
    assert callable(change)
    file, env = connection(tmp_path, url), variables(tmp_path)
    with running("authorize", file, "--no-browser", stdin=-1, stdout=-1, stderr=subprocess.STDOUT, env=env) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        lines = iter(process.stdout.readline, b"")
        address = next(line.decode().strip() for line in lines if line.startswith(b"http"))
        with httpx.Client(trust_env=False) as client:
            callback, _, query = decide(client, address, "accept").partition("?")
        given = change({name: values[0] for name, values in parse_qs(query).items()})
        process.stdin.write(f"{callback}?{urlencode(given)}\n".encode())
        process.stdin.close()
        shown = process.stdout.read().decode()
        assert process.wait(30) == 1
    assert said in shown
    assert "Traceback" not in shown
    assert sends(file, env).returncode == 1


@contextmanager
def waiting(file: Path, env: dict[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`authorize` with a browser that does not start; and the address that it prints then."""
    with running("authorize", file, stdout=-1, stderr=subprocess.DEVNULL, env=env) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().decode().strip()


def test_where_no_browser_starts_the_address_is_printed_and_answers_of_other_tabs_are_passed_over(
    tmp_path: Path, url: str
) -> None:
    file = connection(tmp_path, url)
    with waiting(file, variables(tmp_path, BROWSER="/nowhere %s")) as (process, address):
        (callback,) = parse_qs(urlsplit(address).query)["redirect_uri"]
        with httpx.Client(trust_env=False) as client:
            for target in ("/favicon.ico", "/callback", "/callback?code=x&state=other", "/callback?error=x", "/"):
                other = client.get(f"http://127.0.0.1:{urlsplit(callback).port}{target}")
                assert (other.status_code, "Not this one" in other.text) == (400, True)
            assert client.post(callback).status_code == 405
            assert client.get(f"http://127.0.0.1:{urlsplit(callback).port}/patchwire/result").status_code == 404
            assert process.poll() is None
            answered = client.get(decide(client, address, "accept"))
            assert (answered.status_code, answered.headers["Location"]) == (303, "/patchwire/result")
            assert client.get(f"{callback}?code=again&state=x").status_code == 404
            while "refresh" in (
                page := client.get(f"http://127.0.0.1:{urlsplit(callback).port}/patchwire/result").text
            ):
                pass
        assert "Access granted" in page
        assert process.wait(30) == 0


def test_a_code_is_typed_on_another_device(tmp_path: Path, url: str) -> None:
    file, env = connection(tmp_path, url, 'grant_type = "device_code"\n'), variables(tmp_path)
    with running("authorize", file, stdout=-1, stderr=subprocess.DEVNULL, env=env) as process:
        assert process.stdout is not None
        address, code = process.stdout.readline().decode().split()
        with httpx.Client(trust_env=False) as client:
            decide_on_device(client, address, code)
        assert process.wait(60) == 0
    assert sends(file, env).returncode == 0


def test_a_token_is_forgotten_on_demand(tmp_path: Path, url: str) -> None:
    file, env = connection(tmp_path, url), variables(tmp_path)
    assert patchwire("authorize", file, env=env).returncode == 0
    for said in ("the kept token is removed", "there was no kept token"):
        done = patchwire("authorize", file, "--forget", env=env)
        assert (done.returncode, done.stderr) == (0, f"patchwire: {said}\n")
    done = sends(file, env)
    assert (done.returncode, done.stderr) == (1, f"patchwire: there is no token yet: run patchwire authorize {file}\n")


def test_another_scope_asks_for_authorization_again_and_says_so(tmp_path: Path, url: str) -> None:
    env = variables(tmp_path)
    assert patchwire("authorize", connection(tmp_path, url), env=env).returncode == 0
    file = connection(tmp_path, url, scope="write read")
    assert sends(file, env).returncode == 0, "the same names in another order are the same scope"
    done = sends(connection(tmp_path, url, scope="read"), env)
    change = "the scope has changed from 'read write' to 'read'"
    assert (done.returncode, done.stderr) == (1, f"patchwire: {change}: run patchwire authorize {file}\n")


def test_where_tokens_cannot_be_kept_nobody_is_asked_to_accept(tmp_path: Path, url: str) -> None:
    (tmp_path / "state").write_text("no directory", "utf-8")
    done = patchwire("authorize", connection(tmp_path, url), env=variables(tmp_path))
    assert (done.returncode, done.stdout) == (4, "")
    (line,) = without_traceback(done)
    assert str(tmp_path / "state") in line
    assert not (tmp_path / "page").exists()


def test_without_a_scope_of_its_own_any_that_is_granted_is_right(tmp_path: Path, url: str) -> None:
    done = patchwire("authorize", connection(tmp_path, url, scope=""), env=variables(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "the scope that was granted" not in done.stderr


def test_who_does_not_come_back_is_not_waited_for_for_ever(tmp_path: Path, url: str) -> None:
    env = variables(tmp_path, BROWSER=f"{sys.executable} -c pass %s")
    done = patchwire("authorize", connection(tmp_path, url), "--timeout", "1", env=env)
    assert (done.returncode, without_traceback(done)[-1]) == (1, "patchwire: nobody accepted within 1 seconds")


def test_a_callback_whose_port_is_taken_is_named(tmp_path: Path, url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file = connection(tmp_path, url, f'{CODE}redirect_uri = "http://127.0.0.1:{port}/back"\n')
        done = patchwire("authorize", file, env=variables(tmp_path))
    assert done.returncode == 1
    (line,) = without_traceback(done)
    assert line.startswith(f"patchwire: cannot listen on 127.0.0.1:{port} (oauth2.redirect_uri): ")


def test_a_fixed_callback_is_listened_at(tmp_path: Path, url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    file = connection(tmp_path, url, f'{CODE}redirect_uri = "http://127.0.0.1:{port}/back/here"\n')
    done = patchwire("authorize", file, env=variables(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "page").read_text().startswith(f"http://127.0.0.1:{port}/patchwire/result\n")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:0"])
def test_a_callback_without_a_port_is_listened_at_on_any_and_says_which(tmp_path: Path, url: str, host: str) -> None:
    file = connection(tmp_path, url, f'{CODE}redirect_uri = "http://{host}/back"\n')
    done = patchwire("authorize", file, env=variables(tmp_path))
    assert done.returncode == 0, done.stderr
    (redirect_uri,) = parse_qs(urlsplit(done.stdout.strip()).query)["redirect_uri"]
    address = urlsplit(redirect_uri)
    assert (address.hostname, address.path) == ("127.0.0.1", "/back")
    assert (tmp_path / "page").read_text().startswith(f"http://127.0.0.1:{address.port}/patchwire/result\n")


def test_where_nothing_can_be_pasted_that_is_said(tmp_path: Path, url: str) -> None:
    command = " ".join([*PATCHWIRE, "authorize", str(connection(tmp_path, url)), "--no-browser", "<&-"])
    done = subprocess.run(command, shell=True, capture_output=True, text=True, env=variables(tmp_path), check=False)
    assert (done.returncode, without_traceback(done)[-1]) == (1, "patchwire: no address was given")


@pytest.mark.parametrize("redirect_uri", ["https://app.example/back", "com.example.app:/back"])
def test_a_callback_that_is_not_on_this_machine_needs_a_person_to_paste_it(
    tmp_path: Path, url: str, redirect_uri: str
) -> None:
    file = connection(tmp_path, url, f'{CODE}redirect_uri = "{redirect_uri}"\n')
    done = patchwire("authorize", file, env=variables(tmp_path))
    assert done.returncode == 2
    (line,) = without_traceback(done)
    said = "oauth2.redirect_uri: no browser of this machine ends there: use --no-browser"
    assert line.startswith(f"patchwire: {file}: {said}")


def test_a_connection_without_oauth2_has_nothing_to_authorize(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('base_url = "http://h"\n', "utf-8")
    done = patchwire("authorize", "c.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        'patchwire: c.toml: authentication: expected "oauth2", got "none", which has nothing to authorize\n'
    )


def test_an_interrupt_ends_the_wait(tmp_path: Path, url: str) -> None:
    with running("authorize", connection(tmp_path, url), stdout=-1, stderr=subprocess.DEVNULL,
                 env=variables(tmp_path, BROWSER="/nowhere %s")) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(2)
        assert process.wait(30) == 130


def test_the_command_is_one_of_the_group() -> None:
    shown = subprocess.run([*PATCHWIRE, "authorize", "--help"], capture_output=True, text=True, check=True).stdout
    assert json.dumps("--no-browser")[1:-1] in shown
