from __future__ import annotations

import json
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.batches import BatchFiles, people
from tests.support.certificates import Authority, Issued, self_signed
from tests.support.commands import environment, patchwire, without_traceback
from tests.support.https import HttpsServer, https_server
from tests.support.reissued import reissued
from tests.support.tls_batches import change, tls_batch

PAST, FUTURE = datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC), datetime(2090, 2, 3, 4, 5, 6, tzinfo=UTC)
AUTHORITY, LOWER = Authority(), Authority("lower")
GOOD = AUTHORITY.issue("localhost")
ADA, BOB = (AUTHORITY.issue(client=True, server=False, common_name=name) for name in ("ada", "bob"))
PASSWORD = "correct-horse"
RIGHT = environment(ADA_PASSWORD=PASSWORD)
COUNT = 30


def one_line(files: BatchFiles, code: int, variables: dict[str, str] = RIGHT) -> str:
    """Run the batch, which must fail so; what it says on its only line."""
    done = patchwire("batch", files.connection, files.records, "--output", files.output, env=variables)
    assert done.returncode == code, done.stderr
    (line,) = without_traceback(done)
    assert line.startswith("patchwire: ")
    assert not files.output.exists() or files.outcomes() == []
    return line.removeprefix("patchwire: ")


def all_sent(files: BatchFiles, server: HttpsServer) -> None:
    """The same command applies everything, and everything once."""
    done = patchwire(
        "batch", files.connection, files.records, "--output", files.output, "--summary", "json", env=RIGHT
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert json.loads(done.stdout)["applied"] == COUNT
    assert [line["outcome"] for line in files.outcomes()] == ["applied"] * COUNT
    assert sorted(server.served) == sorted(record["path"] for record in people(COUNT))


# --- an origin that cannot be reached: exit code 1

OLD_LOWER = reissued(LOWER.certificate, AUTHORITY, not_before=datetime(2019, 1, 1, tzinfo=UTC), not_after=PAST)
BELOW = LOWER.issue("localhost")
UNFIT = {
    "untrusted": (
        Authority("unknown CA").issue("localhost"),
        "its certificate, issued by 'CN=unknown CA', leads to no trusted root, and the server does not send",
    ),
    "signed by itself": (
        self_signed("localhost"),
        "its certificate, signed by itself, leads to no trusted root; add its CA, or the server's own certificate",
    ),
    "expired": (AUTHORITY.issue("localhost", not_after=PAST), "its certificate ended on 2020-02-03 04:05:06 UTC"),
    "below an expired intermediate": (
        Issued(BELOW.certificate, BELOW.key, (OLD_LOWER,)),
        "the certificate 'CN=lower' above its own ended on 2020-02-03 04:05:06 UTC",
    ),
    "not yet valid": (
        AUTHORITY.issue("localhost", not_before=FUTURE),
        "its certificate is not valid before 2090-02-03 04:05:06 UTC; see to this machine's clock",
    ),
    "wrong host": (
        AUTHORITY.issue("a.example", "*.b.example"),
        "its certificate does not cover 'localhost'; it covers a.example, *.b.example",
    ),
    "wrong purpose": (
        AUTHORITY.issue("localhost", client=True, server=False),
        "its certificate is not for servers: its extended key usage allows clients",
    ),
}


@pytest.mark.parametrize("what", UNFIT)
def test_an_unfit_server_certificate_is_one_line_and_a_later_run_sends_everything(tmp_path: Path, what: str) -> None:
    shown, words = UNFIT[what]
    with https_server(tmp_path / "server", shown) as server:
        files = tls_batch(tmp_path, server.base_url, AUTHORITY)
        files.write(people(COUNT))
        line = one_line(files, 1)
        assert line.startswith(f"cannot connect to {server.base_url}: {words}")
        assert server.served == []
        server.show(tmp_path / "server", GOOD)
        all_sent(files, server)


def hang_up(connection: socket.socket) -> None:
    connection.recv(65_536)


def speak_http(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def speak_ssh(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.sendall(b"SSH-2.0-OpenSSH_9.2p1\r\n")


def reset(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.close()


def keep_silent(connection: socket.socket) -> None:
    while connection.recv(65_536):
        pass


@pytest.mark.parametrize(
    ("instead", "words"),
    [
        (hang_up, "the peer closed the connection in the TLS handshake"),
        (speak_http, "the peer speaks plain HTTP on this port; name its TLS port, or write http://"),
        (speak_ssh, "the peer does not speak TLS on this port"),
        (reset, "the TLS handshake broke: connection reset by peer"),
        (keep_silent, "no TLS handshake within 1 seconds (limits.connect_timeout)"),
    ],
)
def test_a_peer_that_does_not_speak_tls_is_one_line_and_a_later_run_sends_everything(
    tmp_path: Path, instead: Callable[[socket.socket], None], words: str
) -> None:
    with https_server(tmp_path / "server", GOOD) as server:
        server.instead = instead
        limits = "[limits]\nconnect_timeout = 1.0" if instead is keep_silent else ""
        files = tls_batch(tmp_path, server.base_url, AUTHORITY, limits)
        files.write(people(COUNT))
        assert one_line(files, 1) == f"cannot connect to {server.base_url}: {words}"
        change(files, server.base_url)
        server.instead = None
        all_sent(files, server)


def test_an_origin_that_has_turned_bad_between_two_runs_loses_nothing(tmp_path: Path) -> None:
    with https_server(tmp_path / "server", GOOD) as server:
        files = tls_batch(tmp_path, server.base_url, AUTHORITY)
        files.write(people(10))
        assert patchwire("batch", files.connection, files.records).returncode == 0
        server.instead = speak_http
        files.write(people(COUNT))
        done = patchwire("batch", files.connection, files.records)
        assert done.returncode == 1, done.stderr
        first, second = without_traceback(done)
        assert "the peer speaks plain HTTP" in first
        assert "records with an outcome: 10" in second
        server.instead = None
        done = patchwire("batch", files.connection, files.records, "--summary", "json")
    assert done.returncode == 0, done.stderr
    assert sorted(server.served) == sorted(record["path"] for record in people(COUNT))


# --- settings: exit code 2, before anything is sent

ENCRYPTED = ADA.encrypted_key_pem(PASSWORD.encode())
CLIENT = 'client_certificate = "ada.crt"\n'
APART = CLIENT + 'client_key = "ada.key"\n'
OPENED = 'client_password = "env:ADA_PASSWORD"\n'
CUT_OFF = b"\xfe\xed\xfe\xed\x00\x00\x00\x02"
JCEKS = b"\xce\xce\xce\xce\x00\x00\x00\x02"
DAMAGED = ADA.pem[:200] + b"!!!!" + ADA.pem[204:]

AT_FAULT: dict[str, tuple[bytes, bytes, str, str]] = {
    "key of another": (
        ADA.pem, BOB.key_pem, APART,
        "tls.client_key: ada.key: its private key does not belong to the certificate 'CN=ada' in ada.crt",
    ),
    "key encrypted": (
        ADA.pem, ENCRYPTED, APART,
        "tls.client_key: ada.key, line 1: its private key is encrypted; give its password as tls.client_password",
    ),
    "key beside encrypted": (
        ENCRYPTED + ADA.pem, b"", CLIENT,
        "tls.client_certificate: ada.crt, line 1: its private key is encrypted; give its password as",
    ),
    "no key": (
        ADA.pem, b"", CLIENT,
        "tls.client_certificate: ada.crt: holds no private key; name the file of its key as tls.client_key",
    ),
    "no certificate": (ADA.key_pem, b"", CLIENT, "tls.client_certificate: ada.crt: holds no certificate"),
    "PKCS#12 encrypted": (
        ADA.pkcs12(PASSWORD.encode()), b"", CLIENT,
        "tls.client_certificate: ada.crt: needs its password as tls.client_password",
    ),
    "truncated": (
        ADA.combined_pem[:-30], b"", CLIENT,
        f"tls.client_certificate: ada.crt, line {len(ADA.key_pem.splitlines()) + 1}: the end of its block",
    ),
    "damaged": (DAMAGED, ADA.key_pem, APART, "tls.client_certificate: ada.crt, line 1: its certificate is"),
    "empty": (b"", b"", CLIENT, "tls.client_certificate: ada.crt: holds no certificate and no key: it is"),
    "cut off": (CUT_OFF, b"", CLIENT, "tls.client_certificate: ada.crt: is a damaged JKS store: it ends too early"),
    "JCEKS": (JCEKS, b"", CLIENT, "tls.client_certificate: ada.crt: is a Java keystore (JCEKS), which is not read;"),
    "request": (
        ADA.combined_pem.replace(b"CERTIFICATE--", b"CERTIFICATE REQUEST--"), b"", CLIENT, "tls.client_certificate",
    ),
}  # fmt: skip


def written(directory: Path, certificate: bytes, key: bytes) -> None:
    (directory / "ada.crt").write_bytes(certificate)
    (directory / "ada.key").write_bytes(key)


@pytest.mark.parametrize("what", AT_FAULT)
def test_a_certificate_file_at_fault_is_one_line_and_a_later_run_sends_everything(tmp_path: Path, what: str) -> None:
    certificate, key, table, words = AT_FAULT[what]
    with https_server(tmp_path / "server", GOOD) as server:
        files = tls_batch(tmp_path, server.base_url, AUTHORITY, table)
        written(tmp_path, certificate, key)
        files.write(people(COUNT))
        assert one_line(files, 2).startswith(f"{files.connection}: {words}")
        assert server.served == []
        change(files, server.base_url, APART + OPENED)
        written(tmp_path, ADA.pem, ENCRYPTED)
        all_sent(files, server)


@pytest.mark.parametrize(
    ("certificate", "key", "table", "words"),
    [
        (
            ADA.pem,
            ENCRYPTED,
            APART,
            "tls.client_key: ada.key, line 1: tls.client_password does not open its private key",
        ),
        (ADA.pkcs12(PASSWORD.encode()), b"", CLIENT, "tls.client_certificate: ada.crt: tls.client_password does not"),
    ],
    ids=["key", "PKCS#12"],
)
def test_a_wrong_password_is_one_line_and_the_right_one_opens(
    tmp_path: Path, certificate: bytes, key: bytes, table: str, words: str
) -> None:
    with https_server(tmp_path / "server", GOOD) as server:
        files = tls_batch(tmp_path, server.base_url, AUTHORITY, table + OPENED)
        written(tmp_path, certificate, key)
        files.write(people(COUNT))
        line = one_line(files, 2, environment(ADA_PASSWORD="wrong-password"))
        assert line.startswith(f"{files.connection}: {words}")
        assert "wrong-password" not in line
        all_sent(files, server)


def test_a_password_that_is_not_set_is_one_line_with_the_variable(tmp_path: Path) -> None:
    files = tls_batch(tmp_path, "https://localhost:1", AUTHORITY, CLIENT + OPENED)
    written(tmp_path, ADA.combined_pem, b"")
    files.write(people(1))
    without = {name: value for name, value in environment().items() if name != "ADA_PASSWORD"}
    line = one_line(files, 2, without)
    assert line == f"{files.connection}: tls.client_password: the environment variable ADA_PASSWORD is not set"


@pytest.mark.parametrize("key", ["client_certificate", "client_key", "trust"])
def test_a_missing_file_is_one_line_with_its_key_and_path(tmp_path: Path, key: str) -> None:
    table = {"client_certificate": 'client_certificate = "none.pem"', "client_key": CLIENT + 'client_key = "none.pem"'}
    files = tls_batch(tmp_path, "https://localhost:1", AUTHORITY, table.get(key, ""))
    written(tmp_path, ADA.pem, b"")
    files.write(people(1))
    if key == "trust":
        (tmp_path / "ca.pem").rename(tmp_path / "none.pem")
    named = tmp_path / ("ca.pem" if key == "trust" else "none.pem")
    place = "tls.trust[0]" if key == "trust" else f"tls.{key}"
    assert one_line(files, 2) == f"{files.connection}: {place}: {named}: no such file or directory"


def test_pem_with_text_around_its_blocks_is_as_good(tmp_path: Path) -> None:
    text = b"Bag Attributes\r\n    friendlyName: ada\r\nsubject=CN = ada\r\n\r\n"
    with https_server(tmp_path / "server", GOOD) as server:
        files = tls_batch(tmp_path, server.base_url, text + AUTHORITY.pem + text, CLIENT)
        written(tmp_path, text + ADA.pem.replace(b"\n", b"\r\n") + text + ADA.key_pem + text, b"")
        files.write(people(COUNT))
        all_sent(files, server)


def test_trusting_a_servers_own_certificate_is_enough(tmp_path: Path) -> None:
    own: Issued = self_signed("localhost", ca=True)
    with https_server(tmp_path / "server", own) as server:
        files = tls_batch(tmp_path, server.base_url, own.pem)
        files.write(people(COUNT))
        all_sent(files, server)
