from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from patchwire.errors import StorageError
from patchwire.files.connection_file import load_connection
from patchwire.net.client import PatchClient
from patchwire.net.opening import open_connection
from patchwire.net.tls_stream import TlsStream
from tests.support.batches import BatchFiles, people
from tests.support.certificates import Authority
from tests.support.commands import environment, patchwire, without_traceback
from tests.support.nginx import NginxServer, needs_nginx, nginx_server, tls_directives
from tests.support.tls_batches import tls_batch

pytestmark = [needs_nginx, pytest.mark.peer]

SERVERS = Authority("servers")
LINE = re.compile(rb"[A-Z_0-9]+ [0-9a-f]{64} ([0-9a-f]{64}|[0-9a-f]{96})")
PROTOCOLS = {"1.2": "ssl_conf_command MaxProtocol TLSv1.2;", "1.3": "ssl_conf_command MinProtocol TLSv1.3;"}
LABELS = {
    "1.2": {"CLIENT_RANDOM"},
    "1.3": {
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0",
        "SERVER_TRAFFIC_SECRET_0", "EXPORTER_SECRET",
    },
}  # fmt: skip


@pytest.fixture(scope="module", params=PROTOCOLS)
def version(request: pytest.FixtureRequest) -> str:
    assert isinstance(request.param, str)
    return request.param


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory, version: str) -> Iterator[NginxServer]:
    directory = tmp_path_factory.mktemp("nginx")
    tls = tls_directives(directory, SERVERS.issue("localhost")) + PROTOCOLS[version]
    with nginx_server(directory, access_log="access.log", tls=tls, host="localhost") as server:
        yield server


def batch_of(directory: Path, server: NginxServer) -> BatchFiles:
    files = tls_batch(directory, server.base_url, SERVERS)
    files.write(people(20))
    return files


def labels(path: Path) -> dict[str, set[str]]:
    """By the client's random, in hexadecimal digits: the labels of its lines, all of which are well formed."""
    found: dict[str, set[str]] = {}
    for line in path.read_bytes().splitlines():
        assert LINE.fullmatch(line) or line.startswith(b"CLIENT_RANDOM "), line
        label, random, secret = line.decode("ascii").split()
        assert len(random) == 64
        assert len(secret) in (64, 96)
        found.setdefault(random, set()).add(label)
    return found


def test_the_secrets_of_each_connection_are_there_under_its_client_random(
    tmp_path: Path, nginx: NginxServer, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_connection(str(batch_of(tmp_path, nginx).connection))
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys.log"))
    randoms = []

    async def main() -> None:
        for _ in range(3):
            connection = await open_connection(settings)
            stream = connection._wire
            assert isinstance(stream, TlsStream)
            randoms.append((stream.engine._ssl.client_random() or b"").hex())
            connection.close()

    trio.run(main)
    assert labels(tmp_path / "keys.log") == dict.fromkeys(randoms, LABELS[version])
    assert len(set(randoms)) == 3


def command(name: str, files: BatchFiles) -> list[str | Path]:
    commands: dict[str, list[str | Path]] = {
        "send": ["send", files.connection, "/people/1", "--body", "{}"],
        "batch": ["batch", files.connection, files.records],
        "check": ["check", files.connection, "--connect"],
    }
    return commands[name]


@pytest.mark.parametrize("name", ["send", "batch", "check"])
def test_a_command_says_that_keys_are_written_and_writes_them(
    tmp_path: Path, nginx: NginxServer, version: str, name: str
) -> None:
    keys = tmp_path / "keys.log"
    done = patchwire(*command(name, batch_of(tmp_path, nginx)), env=environment(SSLKEYLOGFILE=str(keys)))
    assert done.returncode == 0, done.stderr
    assert without_traceback(done)[0] == (
        f"patchwire: warning: TLS keys are written to {keys} (SSLKEYLOGFILE): who has them can read what is sent"
    )
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    found = labels(keys)
    assert found
    assert all(each == LABELS[version] for each in found.values())


@pytest.mark.parametrize("name", ["send", "batch", "check"])
def test_without_the_variable_nothing_is_said_and_nothing_written(
    tmp_path: Path, nginx: NginxServer, name: str
) -> None:
    files = batch_of(tmp_path, nginx)
    variables = environment()
    variables.pop("SSLKEYLOGFILE", None)
    done = patchwire(*command(name, files), env=variables)
    assert done.returncode == 0, done.stderr
    assert "keys" not in done.stderr
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"_SECRET" in path.read_bytes()]


@pytest.mark.parametrize("name", ["send", "batch", "check"])
def test_where_keys_cannot_be_written_nothing_is_sent(tmp_path: Path, nginx: NginxServer, name: str) -> None:
    before = (nginx.directory / "access.log").read_bytes()
    keys = tmp_path / "nowhere" / "keys.log"
    files = batch_of(tmp_path, nginx)
    done = patchwire(*command(name, files), env=environment(SSLKEYLOGFILE=str(keys)))
    assert done.returncode == 4
    assert without_traceback(done) == [f"patchwire: {keys}: no such file or directory (SSLKEYLOGFILE)"]
    assert not files.journal.exists()
    assert (nginx.directory / "access.log").read_bytes() == before


def test_a_client_raises_what_is_wrong_with_the_file_and_sends_nothing(
    tmp_path: Path, nginx: NginxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (nginx.directory / "access.log").read_bytes()
    settings = load_connection(str(batch_of(tmp_path, nginx).connection))
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path))

    async def main() -> None:
        async with PatchClient(settings) as client:
            with pytest.raises(StorageError, match=r": is a directory \(SSLKEYLOGFILE\)$"):
                await client.patch("/x", json={})

    trio.run(main)
    assert (nginx.directory / "access.log").read_bytes() == before
