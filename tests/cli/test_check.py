from __future__ import annotations

import os
import re
import ssl
import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from patchwire import load_connection
from patchwire.auth.token import Token
from patchwire.auth.token_keeping import Kept, fingerprint
from patchwire.files.token_store import TokenStore
from tests.support.certificates import Authority, self_signed
from tests.support.commands import environment, patchwire, serving, without_traceback
from tests.support.pipes import filled

LIMITS = [
    "limits.connect_timeout 10.0 seconds",
    "limits.tls_timeout what limits.connect_timeout leaves",
    "limits.write_timeout as limits.read_timeout",
    "limits.first_byte_timeout 2.5 seconds",
    "limits.read_timeout 60.0 seconds",
    "limits.request_timeout none",
]


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def connection(directory: Path, url: str, more: str = "") -> Path:
    return write(directory / "c.toml", f'base_url = "{url}"\n{more}'.encode())


def test_every_setting_is_shown_as_it_will_be_used_and_no_secret(tmp_path: Path) -> None:
    more = """
authentication = "basic"
user = "svc"
password = "env:CANARY"
[headers]
Accept = "application/json"
X-Token = "literal:canary-2"
[outcomes]
unknown_statuses = [500, 502]
[limits]
first_byte_timeout = 2.5
"""
    done = patchwire("check", connection(tmp_path, "http://h/v1", more), env=environment(CANARY="canary-1"))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:8] == [
        "base_url http://h/v1", "authentication basic", "user svc", "password *** (env:CANARY)", "charset UTF-8",
        "preemptive false", "headers.Accept application/json", "headers.X-Token *** (literal)",
    ]  # fmt: skip
    assert "outcomes.unknown_statuses 500, 502" in lines
    assert set(LIMITS) <= set(lines)
    assert "canary" not in done.stdout


def test_what_is_allowed_of_digest_and_which_redirects_are_followed_is_shown(tmp_path: Path) -> None:
    more = """
authentication = "digest"
user = "svc"
password = "env:CANARY"
[digest]
algorithms = ["SHA-256", "MD5-sess"]
[redirects]
follow = []
"""
    done = patchwire("check", connection(tmp_path, "http://h/v1", more), env=environment(CANARY="canary-1"))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for line in ("digest.algorithms SHA-256, MD5-sess", "digest.qop auth, auth-int, none", "redirects.follow none",
                 "redirects.other_origins false"):  # fmt: skip
        assert line in lines
    assert "canary-1" not in done.stdout


def test_what_is_signed_for_is_shown_with_its_scope_and_doubted_where_the_host_says_otherwise(tmp_path: Path) -> None:
    more = """
authentication = "aws"
[aws]
access_key = "AKIDEXAMPLE"
secret_key = "env:CANARY"
session_token = "literal:canary-2"
service = "cloudwatch"
region = "us-east-1"
signed_fields = ["Content-Type"]
signing_host = "monitoring.eu-west-1.amazonaws.com"
"""
    done = patchwire("check", connection(tmp_path, "http://h/v1", more), env=environment(CANARY="canary-1"))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1:7] == [
        "authentication aws", "aws.credentials keys", "aws.access_key AKIDEXAMPLE", "aws.secret_key *** (env:CANARY)",
        "aws.session_token *** (literal)", "aws.service monitoring (cloudwatch, Amazon CloudWatch)",
    ]  # fmt: skip
    assert re.fullmatch(r"aws\.credential_scope \d{8}/us-east-1/monitoring/aws4_request", lines[9])
    for line in ("aws.region us-east-1 (US East (N. Virginia))", "aws.signed_fields host, x-amz-*, Content-Type",
                 "aws.signing_host monitoring.eu-west-1.amazonaws.com",
                 "warning: host monitoring.eu-west-1.amazonaws.com is in eu-west-1, but region us-east-1 is signed"
                 " for"):  # fmt: skip
        assert line in lines
    assert "canary-" not in done.stdout.replace("env:CANARY", "")


def test_where_aws_credentials_come_from_is_shown_and_no_custom_name_is_given_a_label(tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text(
        "[crm]\naws_access_key_id=AKID\naws_secret_access_key=canary-3\naws_session_token=canary-4\n"
        "expiration=2030-01-02T03:04:05Z\n",
        "utf-8",
    )
    more = """
authentication = "aws"
[aws]
credentials = "profile"
profile = "crm"
credentials_file = "credentials"
service = "custom"
custom_service = "codepipeline2"
region = "custom"
custom_region = "*"
algorithm = "sigv4a"
"""
    done = patchwire("check", connection(tmp_path, "http://h/v1", more))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for line in ("aws.access_key AKID", "aws.session_token ***", "aws.credentials end 2030-01-02T03:04:05.000Z",
                 "aws.profile crm", f"aws.credentials_file {tmp_path / 'credentials'}", "aws.region * (custom)",
                 "aws.service codepipeline2 (custom)", "aws.algorithm sigv4a", "aws.payload signed",
                 "aws.sign_session_token true", "aws.signed_fields all that may be"):  # fmt: skip
        assert line in lines
    assert "canary-" not in done.stdout


def test_a_connection_may_come_from_a_pipe(tmp_path: Path) -> None:
    with filled(tmp_path / "pipe", b'base_url = "http://h/v1"\n') as pipe:
        done = patchwire("check", pipe)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("base_url http://h/v1\n")


def test_certificates_are_shown_with_names_and_dates_and_what_they_are_trusted_for(tmp_path: Path) -> None:
    authority = Authority("Example CA")
    client = authority.issue("svc", client=True, server=False)
    write(tmp_path / "client.p12", client.pkcs12(b"canary-3"))
    write(tmp_path / "ca.pem", authority.pem)
    write(tmp_path / "own.pem", self_signed("a.example", "10.0.0.1").pem)
    more = '[tls]\nclient_certificate = "client.p12"\nclient_password = "env:CANARY"\ntrust = ["ca.pem", "own.pem"]'
    done = patchwire("check", connection(tmp_path, "https://h/", more), env=environment(CANARY="canary-3"))
    assert (done.returncode, done.stderr) == (0, "")
    text = done.stdout
    assert "tls.trust 'CN=Example CA', issued by itself, valid until " in text
    assert "(29 days left), as a CA" in text
    assert "tls.trust 'CN=a.example', for a.example, 10.0.0.1, issued by itself" in text
    assert "as a server's own certificate" in text
    assert "tls.client_certificate 'CN=svc', for svc, issued by 'CN=Example CA', valid until " in text
    assert "canary" not in text


def test_certificates_that_end_soon_are_warned_of(tmp_path: Path) -> None:
    now = datetime.fromtimestamp(time.time(), UTC)
    authority = Authority("Example CA")
    soon = authority.issue("svc", client=True, server=False, not_after=now + timedelta(days=5, hours=1))
    late = self_signed("a.example", not_after=now + timedelta(days=90))
    write(tmp_path / "client.pem", soon.combined_pem)
    write(tmp_path / "own.pem", late.pem)
    more = '[tls]\nclient_certificate = "client.pem"\ntrust = ["own.pem"]'
    done = patchwire("check", connection(tmp_path, "https://h/", more))
    assert (done.returncode, done.stderr) == (0, "")
    (warning,) = [line for line in done.stdout.splitlines() if line.startswith("warning: ")]
    assert warning.startswith("warning: tls.client_certificate: 'CN=svc' is valid until ")
    assert warning.endswith("(5 days left); have it renewed, and replace the file")


def test_the_proxy_is_shown_without_its_password(tmp_path: Path) -> None:
    more = '[proxy]\nurl = "http://squid:3128"\nuser = "svc"\npassword = "literal:canary"\nno_proxy = ["b"]'
    done = patchwire("check", connection(tmp_path, "https://a/", more))
    assert (done.returncode, done.stderr) == (0, "")
    assert "proxy.url http://squid:3128\nproxy.user svc\nproxy.password *** (literal)\n" in done.stdout
    assert "proxy.authentication any" in done.stdout
    assert "canary" not in done.stdout
    done = patchwire("check", connection(tmp_path, "https://b/", more))
    assert "proxy.url none" in done.stdout
    more = "[proxy]\nenvironment = true"
    clean = {name: value for name, value in environment().items() if "proxy" not in name.lower()}
    given = clean | {"HTTPS_PROXY": "http://svc:canary@squid:3128"}
    done = patchwire("check", connection(tmp_path, "https://a/", more), env=given)
    assert "proxy.url http://squid:3128 (of the environment)\nproxy.user svc\n" in done.stdout
    assert "proxy.password (of the environment)" in done.stdout
    assert "canary" not in done.stdout
    done = patchwire(
        "check", connection(tmp_path, "https://a/", more), env=clean | {"HTTPS_PROXY": "socks5://a:canary@b"}
    )
    assert done.returncode == 2
    assert "HTTPS_PROXY: expected an http:// or https:// URL, not socks5://" in done.stderr
    assert "canary" not in done.stderr


@pytest.mark.parametrize("ca", [False, True])
def test_a_server_whose_certificate_nobody_knows_is_trusted_once_it_was_exported(tmp_path: Path, ca: bool) -> None:
    leaf = self_signed("localhost", "127.0.0.1", ca=ca)
    write(tmp_path / "server.pem", leaf.combined_pem)
    with serving("--tls", "--certificate", tmp_path / "server.pem") as url:
        file = connection(tmp_path, url)
        refused = patchwire("check", file, "--connect")
        assert refused.returncode == 1
        assert without_traceback(refused)[0].startswith(
            f"patchwire: cannot connect to {url}: its certificate, signed by"
        )
        exported = patchwire("check", file, "--export-certificate", tmp_path / "trusted.pem")
        assert exported.returncode == 0
        assert "compare its SHA-256 with the owner's" in exported.stderr
        shown = ssl.PEM_cert_to_DER_cert((tmp_path / "trusted.pem").read_text("ascii"))
        assert shown == leaf.der
        trusting = connection(tmp_path, url, '[tls]\ntrust = ["trusted.pem"]\nsystem_roots = false')
        done = patchwire("check", trusting, "--connect", "-v")
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1].startswith(f"connected {url} (TLSv1.3 ")
        assert " #1 = connected to " in done.stderr
        again = patchwire("check", file, "--export-certificate", tmp_path / "trusted.pem")
        assert again.returncode == 4
        assert without_traceback(again) == [f"patchwire: {tmp_path}/trusted.pem: file exists"]


def test_what_was_exported_is_readable_for_all_and_holds_no_key(tmp_path: Path) -> None:
    write(tmp_path / "server.pem", self_signed("localhost").combined_pem)
    with serving("--tls", "--certificate", tmp_path / "server.pem") as url:
        patchwire("check", connection(tmp_path, url), "--export-certificate", tmp_path / "trusted.pem")
    assert b"PRIVATE" not in (tmp_path / "trusted.pem").read_bytes()
    assert (tmp_path / "trusted.pem").stat().st_mode & stat.S_IRUSR


@pytest.mark.parametrize(
    ("url", "arguments", "code", "said"),
    [
        ("http://127.0.0.1:1", ("--connect",), 1, "cannot connect to http://127.0.0.1:1: connection refused"),
        ("http://127.0.0.1:1", ("--export-certificate", "x"), 2, "--export-certificate: http://127.0.0.1:1 has none"),
        ("https://127.0.0.1:1", ("--export-certificate", "x"), 1, "cannot connect to https://127.0.0.1:1: connection"),
        ("ftp://h", (), 2, "{file}: base_url: 'ftp://h' must begin with http:// or https://"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, url: str, arguments: tuple[str, ...], code: int, said: str) -> None:
    file = connection(tmp_path, url)
    done = patchwire("check", file, *arguments, cwd=tmp_path)
    assert done.returncode == code
    lines = without_traceback(done)
    assert len(lines) == 1
    assert lines[0].startswith(f"patchwire: {said.format(file=file)}")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("given", [False, True])
def test_a_server_that_will_reject_our_certificate_is_found_out(tmp_path: Path, given: bool) -> None:
    authority = Authority("clients")
    write(tmp_path / "clients.pem", authority.pem)
    write(tmp_path / "client.pem", authority.issue("svc", client=True, server=False).combined_pem)
    options = ("--tls", "--authority", tmp_path / "ca.pem", "--client-ca", tmp_path / "clients.pem")
    with serving(*options) as url:
        more = '[tls]\ntrust = ["ca.pem"]\n' + ('client_certificate = "client.pem"' if given else "")
        done = patchwire("check", connection(tmp_path, url, more), "--connect")
    assert done.returncode == (0 if given else 1)
    if not given:
        assert without_traceback(done)[0].startswith(f"patchwire: {url}: the server requires a client certificate")


# --- OAuth 2.0

CODE = """authentication = "oauth2"
preemptive = true
[oauth2]
grant_type = "authorization_code"
client_id = "app"
client_secret = "env:CANARY"
authorization_url = "https://as.example/authorize"
access_token_url = "https://as.example/token"
"""
CLIENT = """authentication = "oauth2"
[oauth2]
grant_type = "client_credentials"
client_id = "app"
client_secret = "env:CANARY"
access_token_url = "https://as.example/token"
"""
EXTENSIBLE = '[extensions]\nextensible = ["base_url", "headers", "oauth2.scope", "oauth2.client_id"{}]\n'
SERVER = "https://as.example"
LATER = 4_000_000_000.0
THEN = "2096-10-02T07:06:40"


def checked(file: Path, *arguments: str | Path) -> dict[str, str]:
    """The lines that a check prints, by their names."""
    done = patchwire("check", file, *arguments, env=environment(CANARY="canary-1"))
    assert done.returncode == 0, done.stderr
    assert "canary" not in done.stdout + done.stderr
    return {name: value for name, _, value in (line.partition(" ") for line in done.stdout.splitlines())}


def keep(file: Path, kept: Kept) -> None:
    """Put a token where a connection's own is kept; the command that a test starts looks there."""
    os.environ["CANARY"] = "canary-1"
    try:
        oauth2 = load_connection(file).oauth2
    finally:
        del os.environ["CANARY"]
    assert oauth2 is not None
    TokenStore(oauth2.entry).write(msgspec.json.encode(kept))


def kept_token(expires_at: float | None = None, scope: str = "", **more: Any) -> Kept:
    """A token that the authorization server of these tests has given."""
    return Kept(Token("canary-t", expires_at), scope, **{"source": "https://as.example", **more})


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (CODE + 'scope = "a b"\nredirect_uri = "http://127.0.0.1:8976/cb"\naccess_token = "literal:canary-2"\n'
         'refresh_token = "literal:canary-3"\n[oauth2.authorization_parameters]\nprompt = "login"\n',
         {"preemptive": "true", "oauth2.grant_type": "authorization_code", "oauth2.client_id": "app",
          "oauth2.client_authentication": "basic", "oauth2.client_secret": "*** (env:CANARY)",
          "oauth2.authorization_url": "https://as.example/authorize", "oauth2.scope": "a b",
          "oauth2.access_token_url": "https://as.example/token", "oauth2.redirect_uri": "http://127.0.0.1:8976/cb",
          "oauth2.access_token": "*** (literal)", "oauth2.refresh_token": "*** (literal)",
          "oauth2.authorization_parameters.prompt": "login"}),
        (CLIENT + '[oauth2.access_token_parameters]\naudience = "api"\nkey = "env:CANARY"\n',
         {"preemptive": "false", "oauth2.grant_type": "client_credentials", "oauth2.scope": "none",
          "oauth2.access_token_parameters.audience": "api",
          "oauth2.access_token_parameters.key": "*** (env:CANARY)"}),
        (CLIENT.replace("client_credentials", "password") + 'username = "ada"\npassword = "literal:canary-2"\n',
         {"oauth2.grant_type": "password", "oauth2.username": "ada", "oauth2.password": "*** (literal)"}),
        (CLIENT.replace("client_credentials", "device_code") +
         'device_authorization_url = "https://as.example/device"\nmetadata_url = "https://as.example/m"\n'
         'issuer = "https://as.example"\n',
         {"oauth2.grant_type": "device_code", "oauth2.device_authorization_url": "https://as.example/device",
          "oauth2.metadata_url": "https://as.example/m", "oauth2.issuer": "https://as.example"}),
        ('authentication = "oauth2"\n[oauth2]\ngrant_type = "jwt_bearer"\naccess_token_url = "https://as.example/"\n'
         '[oauth2.jwt]\nkey = "env:CANARY"\nalgorithm = "HS256"\nkey_id = "k1"\nissuer = "svc"\nsubject = "ada"\n',
         {"oauth2.client_id": "none", "oauth2.client_authentication": "none", "oauth2.jwt.key": "*** (env:CANARY)",
          "oauth2.jwt.algorithm": "HS256", "oauth2.jwt.key_id": "k1", "oauth2.jwt.issuer": "svc",
          "oauth2.jwt.subject": "ada", "oauth2.jwt.lifetime": "300"}),
        (CLIENT + 'client_authentication = "client_secret_jwt"\n[oauth2.jwt]\naudience = "https://as.example"\n',
         {"oauth2.client_authentication": "client_secret_jwt", "oauth2.jwt.key": "the client's secret",
          "oauth2.jwt.algorithm": "HS256", "oauth2.jwt.audience": "https://as.example"}),
    ],
    ids=["code", "client", "password", "device", "jwt", "secret_jwt"],
)  # fmt: skip
def test_what_tokens_are_asked_with_is_shown_for_each_grant_and_of_secrets_where_they_are_kept(
    tmp_path: Path, more: str, expected: dict[str, str]
) -> None:
    lines = checked(connection(tmp_path, "https://h", more))
    assert {name: value for name, value in lines.items() if name in expected} == expected
    assert lines["the"] == "kept token none"
    assert not {"user", "password"} & set(lines)


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (Token("canary-t", LATER, 60.0), f"ends {THEN}"),
        (Token("canary-t", LATER, 60.0, "canary-r"), f"ends {THEN}"),
        (Token("canary-t", 1_000_000_000.0), "has ended 2001-09-09T01:46:40"),
        (Token("canary-t"), "there is one, which does not say when it ends"),
    ],
)
def test_of_the_kept_token_it_is_said_when_it_ends_and_whether_it_can_be_renewed(
    tmp_path: Path, token: Token, said: str
) -> None:
    file = connection(tmp_path, "https://h", CODE)
    keep(file, Kept(token))
    line = checked(file)["the"]
    assert line.startswith(f"kept token {said}")
    assert line.endswith(", with a refresh token") is (token.refresh_token is not None)


def test_a_kept_token_that_cannot_be_read_is_one_line(tmp_path: Path, state: Path) -> None:
    file = connection(tmp_path, "https://h", CODE)
    keep(file, Kept(Token("canary-t")))
    (state / "tokens" / "key").write_bytes(b"x" * 32)
    assert checked(file)["the"].startswith("kept token cannot be read: ")


# --- extensions


def extension(directory: Path, text: str) -> Path:
    return write(directory / "prod.toml", text.encode())


def test_each_setting_has_its_source_behind_it(tmp_path: Path) -> None:
    more = 'user = "svc"\npassword = "env:CANARY"\nauthentication = "basic"\n[headers]\nAccept = "a/b"\n'
    file = connection(tmp_path, "http://h", more + EXTENSIBLE.format(', "password", "limits.read_timeout"'))
    other = extension(tmp_path, 'password = "literal:canary-2"\n[headers]\n"X.Y" = "z"\n[limits]\nread_timeout = 5\n')
    lines = checked(file, "--extension", other)
    assert lines["base_url"] == f"http://h  [{file}]"
    assert lines["user"] == f"svc  [{file}]"
    assert lines["password"] == f"*** (literal)  [{other}, in force]"
    assert lines["headers.Accept"] == f"a/b  [{file}]"
    assert lines["headers.X.Y"] == f"z  [{other}, in force]"
    assert lines["limits.read_timeout"] == f"5.0 seconds  [{other}, in force]"
    assert lines["limits.connect_timeout"] == "10.0 seconds  [default]"


def test_what_is_no_setting_has_no_source(tmp_path: Path) -> None:
    file = connection(tmp_path, "http://h", CODE + EXTENSIBLE.format(""))
    lines = checked(file, "--extension", extension(tmp_path, ""))
    assert lines["warning:"].startswith("the token goes over plain http")
    for name in ("warning:", "the"):
        assert "[" not in lines[name]


@pytest.mark.parametrize(
    ("kept", "more", "behind"),
    [
        (None, "", ", in force"),
        (kept_token(LATER), "", f"; waits until the kept token, on {THEN}"),
        (kept_token(), "", "; waits until the kept token has ended"),
        (kept_token(1_000_000_000.0), "", ", in force"),
        (kept_token(LATER, "other"), "", ", in force"),
        (kept_token(LATER, source="https://other.example"), "", ", in force"),
        (kept_token(LATER, "write"), "", "; waits until the kept token, on"),
        (None, 'access_token = "literal:canary-t"\n', "; waits until the access token of the settings has ended"),
        (kept_token(1.0, rejected=(fingerprint("canary-t"),)), 'access_token = "literal:canary-t"\n',
         ", in force"),
    ],
)  # fmt: skip
def test_what_is_overridden_of_oauth2_waits_for_the_token_that_there_is(
    tmp_path: Path, kept: Kept | None, more: str, behind: str
) -> None:
    file = connection(tmp_path, "https://h", CODE + more + EXTENSIBLE.format(""))
    if kept is not None:
        keep(file, kept)
    other = extension(tmp_path, 'base_url = "https://h/v2"\n[oauth2]\nscope = "write"\n')
    lines = checked(file, "--extension", other)
    assert lines["base_url"] == f"https://h/v2  [{other}, in force]"
    assert lines["oauth2.scope"].startswith(f"write  [{other}{behind}")
    assert lines["oauth2.client_id"] == f"app  [{file}]"
    assert lines["the"].startswith("kept token none" if kept is None else "kept token ")


def test_another_origin_has_no_token_that_was_kept_for_this_one(tmp_path: Path) -> None:
    file = connection(tmp_path, "https://h", CODE + EXTENSIBLE.format(""))
    keep(file, Kept(Token("canary-t", LATER), "", SERVER))
    assert checked(file)["the"].startswith("kept token ends ")
    assert checked(file, "--extension", extension(tmp_path, 'base_url = "https://i"'))["the"] == "kept token none"


def test_overrides_are_in_force_where_the_kept_token_cannot_be_read(tmp_path: Path, state: Path) -> None:
    file = connection(tmp_path, "https://h", CODE + EXTENSIBLE.format(""))
    keep(file, Kept(Token("canary-t")))
    (state / "tokens" / "key").write_bytes(b"x" * 32)
    other = extension(tmp_path, '[oauth2]\nscope = "write"\n')
    assert checked(file, "--extension", other)["oauth2.scope"] == f"write  [{other}, in force]"


def test_under_client_credentials_it_is_said_what_keeps_an_override_out(tmp_path: Path) -> None:
    parameters = ', "oauth2.access_token_parameters"'
    file = connection(tmp_path, "https://h", CLIENT + EXTENSIBLE.format(parameters))
    other = extension(
        tmp_path, '[oauth2]\nscope = "w"\nclient_id = "b"\n[oauth2.access_token_parameters]\na = "env:X"'
    )
    lines = checked(file, "--extension", other)
    out = f'; the override of {other} is not in force: under client_credentials it needs "oauth2.access_token" to be'
    assert lines["oauth2.scope"].startswith(f"none  [default{out}")
    assert lines["oauth2.client_id"].startswith(f"app  [{file}{out}")
    assert lines["oauth2.access_token_parameters.a"].startswith(f"none  [default{out}")


def test_under_client_credentials_an_extensible_access_token_lets_overrides_in(tmp_path: Path) -> None:
    file = connection(tmp_path, "https://h", CLIENT + EXTENSIBLE.format(', "oauth2.access_token"'))
    other = extension(tmp_path, '[oauth2]\nscope = "w"\n')
    assert checked(file, "--extension", other)["oauth2.scope"] == f"w  [{other}, in force]"


def test_an_override_that_shapes_another_line_has_its_own_too(tmp_path: Path) -> None:
    more = """authentication = "aws"
[aws]
access_key = "AKIDEXAMPLE"
secret_key = "env:CANARY"
service = "custom"
custom_service = "one"
region = "us-east-1"
[extensions]
extensible = ["aws.custom_service"]
"""
    file = connection(tmp_path, "https://h", more)
    other = extension(tmp_path, '[aws]\ncustom_service = "two"\n')
    lines = checked(file, "--extension", other)
    assert lines["aws.service"] == f"two (custom)  [{file}]"
    assert lines["aws.custom_service"] == f"two  [{other}, in force]"


def test_a_fault_of_an_extension_is_one_line_that_names_it(tmp_path: Path) -> None:
    file = connection(tmp_path, "http://h", EXTENSIBLE.format(""))
    done = patchwire("check", file, "--extension", extension(tmp_path, 'base_url = "ftp://h"'))
    assert done.returncode == 2
    assert without_traceback(done) == [
        f"patchwire: {tmp_path}/prod.toml: base_url: 'ftp://h' must begin with http:// or https://"
    ]
    done = patchwire("check", file, "--extension", tmp_path / "none.toml")
    assert done.returncode == 2
    assert without_traceback(done) == [f"patchwire: {tmp_path}/none.toml: no such file or directory"]
