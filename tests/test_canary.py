from __future__ import annotations

import hashlib
import hmac
import json
import re
import subprocess
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from urllib.parse import quote

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from patchwire.auth.aws_credentials import AwsCredentials
from patchwire.auth.aws_signing import Scope
from patchwire.auth.sigv4a import private_key
from patchwire.auth.verify.aws import AwsVerifier
from patchwire.cli.main import main
from patchwire.http.message import Origin, Response
from patchwire.loopback.app import App
from tests.support.aws_batches import Service, profile, served, serving_in_a_thread, signing
from tests.support.batches import BatchFiles, people
from tests.support.certificates import Authority, Issued
from tests.support.commands import PATCHWIRE, environment, patchwire, serving
from tests.support.https import https_server
from tests.support.origins import OK, Origins, batch, document, run, status
from tests.support.proxy import Forward, Reply, Seen, Tunnel, scripted_proxy
from tests.support.proxy import answer as proxy_answer
from tests.support.recording import recording_backend
from tests.support.tls import AUTHORITY as SERVERS
from tests.support.tls_backend import tls_backend
from tests.support.tls_batches import settings as tls_settings

PASSWORD, TOKEN, TEXT = "canary-password-9d1f", "canary-token-52c7", "canary-text-77aa"
CANARIES = [
    PASSWORD.encode(),
    TOKEN.encode(),
    TEXT.encode(),
    b64encode(f"svc:{PASSWORD}".encode()),
    b64encode(f"svc:{PASSWORD}!".encode()),
]
for name in ("md5", "sha256"):
    # What Digest keeps in place of the password: whoever has it can answer for it.
    CANARIES.append(hashlib.new(name, f"svc:patchwire:{PASSWORD}".encode()).hexdigest().encode())
    CANARIES.append(hashlib.new(name, f"svc:patchwire:{PASSWORD}!".encode()).hexdigest().encode())
INPUTS = {"token", "connection.toml"}
SHOWN_PROOF = re.compile(rb'(response|rspauth)="?[0-9a-f]')
SETTINGS = f"""
authentication = "basic"
user = "svc"
password = "env:CANARY_PASSWORD"
[headers]
X-Token = "file:token"
X-Text = "literal:{TEXT}"
"""


@pytest.mark.parametrize("preemptive", [True, False])
@pytest.mark.parametrize("scheme", ["basic", "digest"])
@pytest.mark.parametrize("case", ["accepted", "rejected", "unreachable", "malformed", "unsendable"])
def test_no_planted_secret_is_in_anything_that_a_batch_writes(
    tmp_path: Path, case: str, scheme: str, preemptive: bool
) -> None:
    (tmp_path / "token").write_text(TOKEN, "utf-8")
    password = {"rejected": PASSWORD + "!", "unsendable": PASSWORD + "\x01"}.get(case, PASSWORD)
    log = (tmp_path / "server.log").open("wb")
    guard = ("--auth", scheme, "--user", "svc", "--password", PASSWORD)
    with log, serving("--create-missing", "-v", *guard, stderr=log) as url:
        settings = SETTINGS.replace('"basic"', f'"{scheme}"')
        files = BatchFiles(tmp_path, "http://127.0.0.1:1" if case == "unreachable" else url, settings)
        if preemptive:
            files.connection.write_text(f"preemptive = true\n{files.connection.read_text('utf-8')}", "utf-8")
        files.write(people(30))
        if case == "malformed":
            files.records.write_text(files.records.read_text("utf-8") + '{"path": "/x"', "utf-8")
        done = patchwire(
            "batch", files.connection, files.records, "-v", "--output", files.output, "--failed", files.failed,
            "--unknown", files.unknown, env=environment(CANARY_PASSWORD=password),
        )  # fmt: skip
    assert done.returncode == {"accepted": 0, "malformed": 2, "unsendable": 2}.get(case, 1), done.stderr
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name not in INPUTS}
    written |= {"stdout": done.stdout.encode(), "stderr": done.stderr.encode()}
    assert case != "accepted" or b"X-Token: ***" in written["stderr"]
    # The server cannot know that these fields of ours are secrets.
    written["server.log"] = written["server.log"].replace(TOKEN.encode(), b"").replace(TEXT.encode(), b"")
    for name, content in written.items():
        assert not [canary for canary in CANARIES if canary in content], name
        assert not SHOWN_PROOF.search(content), name


@pytest.mark.parametrize("asked", ['Basic realm="patchwire"', 'Digest realm="patchwire", nonce="n", qop="auth"'])
@pytest.mark.parametrize("case", ["accepted", "rejected", "of the environment"])
@pytest.mark.parametrize("tunnels", [False, True], ids=["handed on", "tunnelled"])
def test_no_password_of_a_proxy_is_in_anything_that_a_batch_writes(
    tmp_path: Path, tunnels: bool, case: str, asked: str
) -> None:
    def script(seen: Seen) -> Reply:
        if case == "rejected" or not seen.values("proxy-authorization"):
            return proxy_answer(407, f"Proxy-Authenticate: {asked}")
        return Tunnel() if seen.method == "CONNECT" else Forward()

    with scripted_proxy(script) as proxy, recording_backend() as (plain, _), tls_backend() as secure:
        of_file = f'url = "{proxy.base_url}"\nuser = "svc"\npassword = "env:CANARY_PASSWORD"\n'
        of_environment = case == "of the environment"
        settings = "[proxy]\n" + ("environment = true\n" if of_environment else of_file)
        settings += tls_settings() if tunnels else ""
        (tmp_path / "ca.pem").write_bytes(SERVERS.pem)
        files = BatchFiles(tmp_path, secure.base_url if tunnels else plain, settings)
        files.write(people(30))
        address = proxy.base_url.replace("http://", f"http://svc:{PASSWORD}@")
        variables = {"CANARY_PASSWORD": PASSWORD}
        for name in ("http_proxy", "https_proxy"):
            variables[name] = address if of_environment else ""
        outputs = ("-v", "--output", files.output, "--failed", files.failed, "--unknown", files.unknown, "--responses")
        done = patchwire("batch", files.connection, files.records, *outputs, env=environment(**variables))
        checked = patchwire("check", files.connection, "--connect", "-v", env=environment(**variables))
    assert done.returncode == (1 if case == "rejected" else 0), done.stderr
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    written |= {"stdout": done.stdout.encode(), "stderr": done.stderr.encode()}
    written |= {"checked": checked.stdout.encode() + checked.stderr.encode()}
    assert b"Proxy-Authorization: " in written["stderr"]
    for name, content in written.items():
        assert not [canary for canary in CANARIES if canary in content], name
        assert not SHOWN_PROOF.search(content), name


@pytest.mark.parametrize("token", [TOKEN, "another"])
def test_no_token_is_in_the_log_of_the_server_that_asks_for_it(tmp_path: Path, token: str) -> None:
    with (tmp_path / "server.log").open("wb") as log:  # noqa: SIM117
        with serving("--auth", "bearer", "--token", TOKEN, "-v", stderr=log) as url:
            done = patchwire("send", settings_with(tmp_path, url, token), "/a", "--body", "{}", "-v")
    written = (tmp_path / "server.log").read_bytes() + done.stderr.encode() + done.stdout.encode()
    assert b"authorization: ***" in written.lower()
    assert TOKEN.encode() not in written
    assert b"another" not in written


def settings_with(directory: Path, url: str, token: str) -> Path:
    path = directory / "connection.toml"
    path.write_text(f'base_url = "{url}"\n[headers]\nAuthorization = "literal:Bearer {token}"\n', "utf-8")
    return path


# --- what is sent again, looked at, fetched and labelled

AUTHORIZATION = "Basic " + b64encode(f"svc:{PASSWORD}".encode()).decode()
MALFORMED = b"HTTP/1.1 2OO OK\r\nConnection: close\r\n\r\n"


def guarded(answers: dict[str, list[bytes]]) -> Origins:
    """Challenges what comes without the credentials; else answers the n-th request for each target with the n-th
    answer for its method, or the last.
    """
    seen: Counter[tuple[str, str]] = Counter()

    def answer(method: str, target: str, body: bytes) -> bytes:
        assert (origin.fields[-1]["x-token"], origin.fields[-1]["x-text"]) == (TOKEN, TEXT)
        if origin.fields[-1].get("authorization") != AUTHORIZATION:
            return status(401, 'WWW-Authenticate: Basic realm="r"')
        seen[method, target] += 1
        return answers[method][: seen[method, target]][-1]

    origin = Origins(answer)
    return origin


TAGS = [document(b"{}", '"1"'), document(b"{}", '"2"')]
LABELS = ["--idempotency-key", "--request-id-header", "X-Request-Id"]
FETCH = ["--if-match", "fetch", "--refetch", "1"]
PATHS: dict[str, tuple[dict[str, list[bytes]], list[str], int]] = {
    "sent again with a key": ({"PATCH": [status(429), b"", MALFORMED, OK]}, LABELS, 0),
    "unknown": ({"PATCH": [b""]}, LABELS[1:], 3),
    "malformed": ({"PATCH": [MALFORMED]}, [], 3),
    "verified": ({"PATCH": [b""], "GET": [document(b'{"n": 0}')]}, ["--verify"], 0),
    "looked at in vain": ({"PATCH": [b""], "GET": [status(404)]}, ["--verify"], 3),
    "not let look": ({"PATCH": [b""], "GET": [status(401, 'WWW-Authenticate: Basic realm="r"')]}, ["--verify"], 3),
    "tag fetched anew": ({"PATCH": [status(412), OK], "GET": TAGS}, [*FETCH, *LABELS], 0),
    "tag that never matches": ({"PATCH": [status(412)], "GET": TAGS[:1]}, FETCH, 1),
    "no tag": ({"PATCH": [OK], "GET": [status(500)]}, FETCH, 1),
    "not let fetch": ({"PATCH": [OK], "GET": [status(401, 'WWW-Authenticate: Basic realm="r"')]}, FETCH, 1),
    "told to wait": ({"PATCH": [status(503, "Retry-After: 3600")]}, LABELS, 1),
    "too many failures": ({"PATCH": [status(404)]}, ["--max-failures", "0"], 1),
}


@pytest.mark.parametrize("case", PATHS)
def test_no_planted_secret_is_in_what_a_batch_writes_of_attempts_looks_and_labels(tmp_path: Path, case: str) -> None:
    (tmp_path / "token").write_text(TOKEN, "utf-8")
    answers, options, code = PATHS[case]

    async def job(target: Origin) -> list[subprocess.CompletedProcess[str]]:
        files = BatchFiles(tmp_path, target, SETTINGS)
        files.write(people(1))
        commands: list[list[str | Path]] = [
            [
                "batch", files.connection, files.records, "-v", "--output", files.output, "--failed", files.failed,
                "--unknown", files.unknown, *each,
            ]
            for each in (options, [*options, "--retry-unknown"])
        ]  # fmt: skip
        variables = environment(CANARY_PASSWORD=PASSWORD)
        commands.append(["journal", files.journal, "-v"])
        return [await trio.to_thread.run_sync(partial(patchwire, *each, env=variables)) for each in commands]

    origin = guarded(answers)
    done = run(origin, job)
    assert done[0].returncode == code, done[0].stderr
    assert AUTHORIZATION in {fields.get("authorization") for fields in origin.fields}
    assert "> Authorization: ***" in done[0].stderr
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name not in INPUTS}
    written |= {f"stdout {number}": each.stdout.encode() for number, each in enumerate(done)}
    written |= {f"stderr {number}": each.stderr.encode() for number, each in enumerate(done)}
    for name, content in written.items():
        assert b"Traceback" not in content
        assert not [canary for canary in CANARIES if canary in content], name


def test_no_planted_secret_is_in_what_a_killed_batch_leaves(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN, "utf-8")

    async def job(target: Origin) -> None:
        files = BatchFiles(tmp_path, target, SETTINGS)
        files.write(people(2000))
        command = [
            *PATCHWIRE,
            "batch",
            str(files.connection),
            str(files.records),
            *LABELS,
            "--output",
            str(files.output),
        ]
        process = await trio.lowlevel.open_process(command, env=environment(CANARY_PASSWORD=PASSWORD))
        while len(origin.seen) < 500:
            await trio.sleep(0.001)
        process.kill()
        await process.wait()

    origin = guarded({"PATCH": [OK]})
    answer = origin.answer
    origin.answer = lambda *request: b"" if len(origin.seen) % 50 == 0 else answer(*request)
    run(origin, job)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name not in INPUTS}
    assert len(written["records.ndjson.journal-wal"]) > 10_000
    for name, content in written.items():
        assert not [canary for canary in CANARIES if canary in content], name


# --- TLS

CLIENT_PASSWORD, TRUST_PASSWORD = "canary-client-31e8", "canary-trust-b60d"
AUTHORITY, STRANGERS = Authority(), Authority("another authority")
ADA, BOB = (AUTHORITY.issue(client=True, common_name=name) for name in ("ada", "bob"))


def texts_of(issued: Issued) -> list[bytes]:
    """Every line of the private key's text, and its number as octets and as people print it."""
    assert isinstance(issued.key, EllipticCurvePrivateKey)
    value = issued.key.private_numbers().private_value.to_bytes(32, "big")
    lines = [line for line in issued.key_pem.splitlines() if not line.startswith(b"-----") and len(line) > 20]
    return [*lines, value, value.hex().encode(), b64encode(value), str(int.from_bytes(value, "big")).encode()]


def trust_store(password: str) -> bytes:
    encryption = BestAvailableEncryption(password.encode())
    return serialize_key_and_certificates(None, None, None, [AUTHORITY.certificate], encryption)


TLS_CASES = {
    "accepted": (ADA.pem + ADA.encrypted_key_pem(CLIENT_PASSWORD.encode()), b"", TRUST_PASSWORD, 0),
    "PKCS#12": (ADA.pkcs12(CLIENT_PASSWORD.encode()), b"", TRUST_PASSWORD, 0),
    "key in the open": (ADA.combined_pem, b"", TRUST_PASSWORD, 0),
    "wrong password": (ADA.pem, ADA.encrypted_key_pem(b"another password"), TRUST_PASSWORD, 2),
    "wrong PKCS#12 password": (ADA.pkcs12(b"another password"), b"", TRUST_PASSWORD, 2),
    "wrong trust password": (ADA.combined_pem, b"", "another password", 2),
    "key of another": (ADA.pem, BOB.key_pem, TRUST_PASSWORD, 2),
    "key truncated": (ADA.pem, ADA.key_pem[:-40], TRUST_PASSWORD, 2),
    "key damaged": (ADA.pem, ADA.key_pem.replace(b"M", b"N", 1), TRUST_PASSWORD, 2),
    "key as DER, damaged": (ADA.pem, ADA.key_pem.partition(b"-----\n")[2], TRUST_PASSWORD, 2),
    "key under another label": (ADA.pem, ADA.key_pem.replace(b"PRIVATE KEY", b"CERTIFICATE"), TRUST_PASSWORD, 2),
    "untrusted server": (ADA.combined_pem, b"", TRUST_PASSWORD, 1),
}


@pytest.mark.parametrize("where", ["env", "literal"])
@pytest.mark.parametrize("case", TLS_CASES)
def test_no_password_or_key_of_a_certificate_is_in_anything_that_a_batch_writes(
    tmp_path: Path, case: str, where: str
) -> None:
    certificate, key, trust_password, code = TLS_CASES[case]
    inputs = {"connection.toml", "ada.crt", "ada.key", "ca.p12", "ca.pem", "server"}
    (tmp_path / "ada.crt").write_bytes(certificate)
    (tmp_path / "ada.key").write_bytes(key)
    (tmp_path / "ca.p12").write_bytes(trust_store(trust_password))
    passwords = {"client": CLIENT_PASSWORD, "trust": TRUST_PASSWORD}
    variables = {f"CANARY_{name.upper()}": text for name, text in passwords.items()}
    table = 'client_certificate = "ada.crt"\n' + ('client_key = "ada.key"\n' if key else "")
    for name, text in passwords.items():
        reference = f"env:CANARY_{name.upper()}" if where == "env" else f"literal:{text}"
        table += f'{name}_password = "{reference}"\n'
    issuer = STRANGERS if case == "untrusted server" else AUTHORITY
    with https_server(tmp_path / "server", issuer.issue("localhost")) as server:
        files = BatchFiles(tmp_path, server.base_url, tls_settings(table).replace("ca.pem", "ca.p12"))
        files.write(people(20))
        done = patchwire(
            "batch", files.connection, files.records, "-v", "--output", files.output, "--failed", files.failed,
            "--unknown", files.unknown, env=environment(**variables),
        )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name not in inputs}
    written |= {"stdout": done.stdout.encode(), "stderr": done.stderr.encode()}
    assert code != 0 or b"(TLSv1.3 " in written["stderr"]
    secrets = [CLIENT_PASSWORD.encode(), TRUST_PASSWORD.encode(), *texts_of(ADA), *texts_of(BOB)]
    for name, content in written.items():
        assert not [secret for secret in secrets if secret in content], name


# --- what a server sends back


def echo(request: bytes) -> bytes:
    return request


def echo_fields(request: bytes) -> bytes:
    return request.partition(b"\r\n")[2]


def in_a_status_line(request: bytes) -> bytes:
    return b"HTTP/1.1 2 " + AUTHORIZATION.encode() + b"\r\n\r\n"


def in_a_field_line(request: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nX " + AUTHORIZATION.encode() + b"\r\n\r\n"


def in_a_length(request: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: " + TOKEN.encode() + b"\r\n\r\n"


def in_a_chunk_size(request: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + AUTHORIZATION.encode() + b"\r\n"


@pytest.mark.parametrize(
    "answer", [echo, echo_fields, in_a_status_line, in_a_field_line, in_a_length, in_a_chunk_size]
)
def test_no_secret_that_a_server_sends_back_in_place_of_a_response_is_quoted(
    tmp_path: Path, answer: Callable[[bytes], bytes]
) -> None:
    (tmp_path / "token").write_text(TOKEN, "utf-8")

    async def peer(stream: trio.SocketStream) -> None:
        await stream.send_all(answer(bytes(await stream.receive_some())))

    settings = SETTINGS.replace("env:CANARY_PASSWORD", f"literal:{PASSWORD}").replace(
        "user =", "preemptive = true\nuser ="
    )
    files, summary = batch(tmp_path, peer, people(1), settings)
    (line,) = files.outcomes()
    assert line["outcome"] in ("unknown", "applied")
    assert "malformed" in line["error"] or "status line" in line["error"]
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name not in INPUTS}
    written["failures"] = repr(summary.failures).encode()
    for name, content in written.items():
        assert not [canary for canary in CANARIES if canary in content], name


def test_no_secret_field_of_a_response_that_is_kept_is_written(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN, "utf-8")
    fields = f"Set-Cookie: session={PASSWORD}\r\nAuthorization: {AUTHORIZATION}\r\nX-Token: {TOKEN}\r\nX-Id: 7"
    origin = Origins(lambda *_: f"HTTP/1.1 200 OK\r\n{fields}\r\nContent-Length: 2\r\n\r\nok".encode())
    files, _ = batch(tmp_path, origin, people(1), SETTINGS.replace("env:CANARY_PASSWORD", "literal:x"), responses=True)
    (line,) = files.outcomes()
    assert line["response"] == "ok"
    assert line["response_headers"] == {
        "set-cookie": "***", "authorization": "***", "x-token": "***", "x-id": "7", "content-length": "2"
    }  # fmt: skip
    for path in tmp_path.iterdir():
        if path.name not in INPUTS:
            assert not [canary for canary in CANARIES if canary in path.read_bytes()], path.name


# --- AWS

AWS = AwsCredentials("ASIAEXAMPLE", "canary/secret+key-8d41", "canary/session+token-6e2b==")
STRANGER = AwsCredentials("ASIAEXAMPLE", "another-secret-key", AWS.session_token)
SHOWN_SIGNATURE = re.compile(rb"Signature=[0-9a-f]")
SOURCES = {
    "env": ('access_key = "ASIAEXAMPLE"', 'secret_key = "env:CANARY_KEY"', 'session_token = "env:CANARY_SESSION"'),
    "environment": ('credentials = "environment"',),
    "profile": ('credentials = "profile"', 'profile = "svc"', 'credentials_file = "keys"'),
}
VARIABLES = {
    "CANARY_KEY": AWS.secret_key,
    "CANARY_SESSION": str(AWS.session_token),
    "AWS_ACCESS_KEY_ID": AWS.access_key,
    "AWS_SECRET_ACCESS_KEY": AWS.secret_key,
    "AWS_SESSION_TOKEN": str(AWS.session_token),
}


def aws_canaries() -> list[bytes]:
    """Secret key and session token in all forms, and the keys that are derived from the secret around today."""
    secrets = [each.encode() for each in (AWS.secret_key, STRANGER.secret_key, str(AWS.session_token))]
    for credentials in (AWS, STRANGER):
        for service, days in product(("execute-api", "s3"), range(-4, 5)):
            key = f"AWS4{credentials.secret_key}".encode()
            date = time.strftime("%Y%m%d", time.gmtime(time.time() + days * 86_400))
            for part in (date, "us-east-1", service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
                secrets.append(key)
        number = private_key(credentials.access_key, credentials.secret_key).private_numbers().private_value
        secrets += [number.to_bytes(32, "big"), str(number).encode()]
    forms = (bytes, lambda each: each.hex().encode(), b64encode, lambda each: quote(each, safe="").encode())
    return [form(secret) for secret in secrets for form in forms]


def assert_no_aws_secret(written: dict[str, bytes]) -> None:
    canaries = aws_canaries()
    for name, content in written.items():
        assert b"Traceback" not in content
        assert not [canary for canary in canaries if canary in content], name
        assert not SHOWN_SIGNATURE.search(content), name


def one_mismatch(service: Service) -> None:
    """For one record the service has read something else, of which it tells everything."""
    other = App(AwsVerifier(service.scope, [STRANGER]))
    service.before = lambda request: (
        other.handle(request, {}, time.time())[0] if request.target == b"/people/15" else None
    )


def answering_always(code: str, *, xml: bool) -> Callable[[Service], None]:
    """As a service says that of a token which it quotes."""

    def change(service: Service) -> None:
        said = f"{code} of {AWS.session_token}"
        if xml:
            body = f"<Error><Code>{code}</Code><Message>{said}</Message><Token-0>{AWS.session_token}</Token-0></Error>"
        else:
            body = json.dumps({"__type": code, "message": said, "token": AWS.session_token})
        service.before = lambda _: Response(403, (), body.encode())

    return change


AWS_CASES: dict[str, tuple[str, str, AwsCredentials, float, Callable[[Service], None] | None, int]] = {
    "accepted": ("env", "execute-api", AWS, 0, None, 0),
    "accepted by S3": ("profile", "s3", AWS, 0, None, 0),
    "wrong secret": ("literal", "execute-api", STRANGER, 0, None, 1),
    "wrong secret for S3": ("environment", "s3", STRANGER, 0, None, 1),
    "mismatch for one": ("profile", "execute-api", AWS, 0, one_mismatch, 1),
    "mismatch for one at S3": ("literal", "s3", AWS, 0, one_mismatch, 1),
    "expired": ("environment", "execute-api", AWS, 0, answering_always("ExpiredTokenException", xml=False), 1),
    "expired at S3": ("profile", "s3", AWS, 0, answering_always("ExpiredToken", xml=True), 1),
    "expired for good": ("literal", "s3", AWS, 0, answering_always("ExpiredToken", xml=True), 1),
    "unknown token": ("env", "s3", AWS, 0, answering_always("InvalidToken", xml=True), 1),
    "skewed": ("env", "execute-api", AWS, 3600, None, 0),
    "skewed for good": ("literal", "s3", AWS, 3 * 86_400, None, 1),
    "unreachable": ("profile", "execute-api", AWS, 0, None, 1),
}


def patchwire_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str | Path
) -> tuple[int, str, str]:
    """A command in this process: its exit code, and what it has written to standard output and error."""
    monkeypatch.setattr("sys.argv", ["patchwire", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    assert isinstance(end.value.code, int)
    return end.value.code, *capsys.readouterr()


@pytest.mark.parametrize("case", AWS_CASES)
def test_no_secret_of_aws_is_in_anything_that_is_written_but_in_what_was_read(
    tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, name, known, ahead, change, code = AWS_CASES[case]
    service = Service(known, scope=Scope("us-east-1", name), ahead=ahead)
    if change is not None:
        change(service)
    for variable, value in VARIABLES.items():
        monkeypatch.setenv(variable, value)
    (tmp_path / "keys").write_text(profile(AWS), "utf-8")
    settings = signing(AWS, service=name) if source == "literal" else signing(None, *SOURCES[source], service=name)
    with serving_in_a_thread(service) as url:
        files = BatchFiles(tmp_path, "http://127.0.0.1:1" if case == "unreachable" else url, settings)
        files.write(people(20))
        commands: dict[str, list[str | Path]] = {
            "check": [files.connection],
            "batch": [
                files.connection, files.records, "-v", "--output", files.output, "--failed", files.failed,
                "--unknown", files.unknown, "--responses", "--concurrency", "1", "--patience", "0.1",
            ],
            "send": [files.connection, "/people/15", "--body", "{}", "-v", "-i"],
            "journal": [files.journal, "-v"],
        }  # fmt: skip
        done = {name: patchwire_here(monkeypatch, capsys, name, *each) for name, each in commands.items()}
    assert [done[name][0] for name in ("check", "batch", "send")] == [0, code, code], done
    if case != "unreachable":
        assert "> X-Amz-Security-Token: ***" in done["batch"][2]
        assert ", Signature=***" in done["batch"][2]
    if case.startswith("mismatch"):
        outcomes = (tmp_path / "outcomes.ndjson").read_text("utf-8")
        assert outcomes.count("x-amz-security-token:***") == 1  # the response that quotes the request is kept
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name not in {*INPUTS, "keys"}}
    written |= {name: f"{stdout}{stderr}".encode() for name, (_, stdout, stderr) in done.items()}
    assert_no_aws_secret(written)


@pytest.mark.parametrize("service", ["execute-api", "s3"])
def test_no_secret_of_aws_is_in_the_log_of_the_server_that_knows_it(tmp_path: Path, service: str) -> None:
    guard = ["--access-key", AWS.access_key, "--secret-key", "env:CANARY_KEY", "--session-token", "env:CANARY_SESSION"]
    log = (tmp_path / "server.log").open("wb")
    variables = environment(**VARIABLES)
    with (
        log,
        serving(
            "--auth", "aws", *guard, "--service", service, "--create-missing", "-v", stderr=log, env=variables
        ) as url,
    ):
        for number, keys in enumerate((AWS, STRANGER)):
            files = BatchFiles(tmp_path, url, signing(keys, service=service))
            done = patchwire("send", files.connection, "/a", "--body", "{}", "-v")
            assert done.returncode == number, done.stderr
            (tmp_path / f"said {number}").write_text(done.stdout + done.stderr, "utf-8")
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name not in INPUTS}
    assert written["server.log"].lower().count(b"x-amz-security-token: ***") == 2
    assert b"Signature=***" in written["server.log"]
    assert_no_aws_secret(written)


def test_no_secret_of_aws_is_in_what_a_killed_batch_leaves(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(profile(AWS), "utf-8")
    service = Service(AWS)

    async def job(url: str) -> None:
        files = BatchFiles(tmp_path, url, signing(None, *SOURCES["profile"]))
        files.write(people(2000))
        command = [*PATCHWIRE, "batch", str(files.connection), str(files.records), "--output", str(files.output)]
        process = await trio.lowlevel.open_process([*command, "--responses"])
        while len(service.answered) < 300:
            await trio.sleep(0.001)
        process.kill()
        await process.wait()

    served(service, job)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name not in {*INPUTS, "keys"}}
    assert len(written["records.ndjson.journal-wal"]) > 10_000
    assert_no_aws_secret(written)
