from __future__ import annotations

import re
import ssl
import stat
from pathlib import Path

import pytest

from tests.support.certificates import Authority, self_signed
from tests.support.commands import environment, patchwire, serving, without_traceback
from tests.support.pipes import filled

LIMITS = ["limits.connect_timeout 10.0 seconds", "limits.read_timeout 60.0 seconds"]


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
