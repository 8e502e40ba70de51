"""Opening connections: what is set on their sockets, and what is said where there is none."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from patchwire.errors import ConnectError, Sent
from patchwire.http.message import Origin, split_url
from patchwire.net.dial import dial
from patchwire.net.reasons import reason_of_socket
from tests.support.cancelling import cancelled_at_every_checkpoint, open_descriptors

HOST = "host.example"


def _socket_of_trio() -> Any:
    with socket.socket() as sock:
        return type(trio.socket.from_stdlib_socket(sock))


SOCKET = _socket_of_trio()
"""The class of trio's sockets, which has no public name."""


class Resolver(trio.abc.HostnameResolver):
    """Knows these addresses for every name, or fails so."""

    def __init__(self, *addresses: str, failure: Exception | None = None) -> None:
        self._addresses = addresses
        self._failure = failure

    async def getaddrinfo(
        self,
        host: bytes | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        if self._failure is not None:
            raise self._failure
        assert isinstance(port, int)
        v4, v6, stream = socket.AF_INET, socket.AF_INET6, socket.SOCK_STREAM
        return [
            (v6, stream, 6, "", (each, port, 0, 0)) if ":" in each else (v4, stream, 6, "", (each, port))
            for each in self._addresses
        ]

    async def getnameinfo(self, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int) -> tuple[str, str]:
        raise AssertionError("nobody asks for names")


def refusal(origin: Origin, *addresses: str, failure: Exception | None = None, timeout: float = 10.0) -> str:
    """What the ConnectError says behind the origin's name."""

    async def main() -> str:
        if addresses or failure is not None:
            trio.socket.set_custom_hostname_resolver(Resolver(*addresses, failure=failure))
        with pytest.raises(ConnectError) as caught:
            await dial(origin, timeout)
        assert (caught.value.sent, caught.value.origin) == (Sent.NO, str(origin))
        before, _, told = str(caught.value).partition(f"cannot connect to {origin}: ")
        assert before == ""
        return told

    descriptors = open_descriptors()
    told = trio.run(main)
    assert open_descriptors() == descriptors
    return told


@contextmanager
def port_of(address: str, *, backlog: int = 5) -> Iterator[int]:
    with socket.create_server((address, 0), backlog=backlog) as listener:
        yield listener.getsockname()[1]


@contextmanager
def port_of_nobody() -> Iterator[int]:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield unused.getsockname()[1]


def test_a_connection_waits_for_no_more_to_send_and_notices_a_peer_that_has_vanished() -> None:
    async def main() -> None:
        with port_of("127.0.0.1") as port:
            wire = await dial(Origin("http", "127.0.0.1", port), 5.0)
            sock = wire.socket
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert not sock.getblocking()
            if hasattr(socket, "TCP_KEEPIDLE"):
                options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
                assert [sock.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [30, 10, 3]
            wire.close()

    trio.run(main)


def test_the_options_that_a_platform_lacks_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "TCP_KEEPIDLE")

    async def main() -> None:
        with port_of("127.0.0.1") as port:
            (await dial(Origin("http", "127.0.0.1", port), 5.0)).close()

    trio.run(main)


# --- hosts of several addresses


def connected(*addresses: str, port: int, clock: trio.abc.Clock | None = None) -> tuple[str, float]:
    """The address that was connected to, and the seconds that it took."""

    async def main() -> tuple[str, float]:
        trio.socket.set_custom_hostname_resolver(Resolver(*addresses))
        began = trio.current_time()
        wire = await dial(Origin("http", HOST, port), 10.0)
        peer: str = wire.socket.getpeername()[0]
        wire.close()
        return peer, trio.current_time() - began

    return trio.run(main, clock=clock)


def test_an_address_that_refuses_leaves_the_next_its_turn() -> None:
    with port_of("127.0.0.1") as port:
        assert connected("::1", "127.0.0.1", port=port)[0] == "127.0.0.1"
        assert connected("127.0.0.2", "127.0.0.1", port=port)[0] == "127.0.0.1"


def test_an_address_that_is_silent_does_not_cost_the_whole_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = []

    async def connect_to_all_but_the_first(self: object, address: tuple[str, int]) -> None:
        if address[0] == "127.0.0.2":
            silent.append(address)
            await trio.sleep_forever()
        await connect(self, address)

    connect = SOCKET.connect
    monkeypatch.setattr(SOCKET, "connect", connect_to_all_but_the_first)
    with port_of("127.0.0.1") as port:
        clock = trio.testing.MockClock(autojump_threshold=0.01)
        peer, seconds = connected("127.0.0.2", "127.0.0.1", port=port, clock=clock)
    assert len(silent) == 1
    assert peer == "127.0.0.1"
    assert seconds < 1.0  # on a clock of the test's own


# --- what is said of hosts


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (
            "EAI_NONAME",
            f"the name '{HOST}' is not known; check its spelling, and that this machine's resolver knows it",
        ),
        ("EAI_NODATA", f"the name '{HOST}' is known but has no address"),
        ("EAI_ADDRFAMILY", f"the name '{HOST}' has no address of a kind that this machine can use"),
        ("EAI_AGAIN", f"no resolver answers for '{HOST}'; check this machine's network and resolver, or try again"),
        ("EAI_FAIL", f"the resolver has failed for '{HOST}'; check this machine's resolver, or name an address"),
        ("EAI_MEMORY", f"the name '{HOST}' cannot be resolved: out of memory"),
    ],
)
def test_a_name_that_does_not_resolve_is_told_with_its_reason(code: str, told: str) -> None:
    failure = socket.gaierror(getattr(socket, code), "Out of memory")
    assert refusal(Origin("http", HOST, 80), failure=failure) == told


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example"])
def test_a_name_that_is_none_is_told_as_such(host: str) -> None:
    told = refusal(Origin("http", host, 80))
    assert told == f"{host!r} is no host name: each of its parts has 1 to 63 characters, all of them 253 at most"


def test_a_name_that_is_too_long_is_not_looked_up() -> None:
    host = "a." * 126 + "aa"  # 254 characters
    told = refusal(Origin("http", host, 80), failure=AssertionError("looked up"))
    assert "is no host name" in told
    assert "253 at most" in told
    longest = Origin("http", f"{host[:-1]}.", 80)
    assert refusal(longest, failure=socket.gaierror(socket.EAI_NODATA, "")).endswith("is known but has no address")


def test_of_several_addresses_each_reason_is_told_once() -> None:
    with port_of_nobody() as port:
        origin = Origin("http", HOST, port)
        assert refusal(origin, "127.0.0.1") == "connection refused"
        assert refusal(origin, "127.0.0.1", "127.0.0.2") == "connection refused"
        told = refusal(origin, "127.0.0.1", "127.0.0.2", "255.255.255.255")
        assert told.startswith(f"{HOST!r} has 3 addresses: ")
        assert sorted(told.partition(": ")[2].split("; "))[0] == "connection refused"
        assert told.count(";") == 1


@pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNREFUSED, errno.EMFILE])
def test_what_the_system_says_is_told_in_its_words(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(self: object, address: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(SOCKET, "connect", fail)
    words = os.strerror(number)
    assert refusal(Origin("http", "127.0.0.1", 80)) == words[:1].lower() + words[1:]


# --- Unix sockets


def at(path: Path) -> Origin:
    return split_url(f"unix:{path}")[0]


@contextmanager
def socket_at(path: Path, *, backlog: int = 5) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(backlog)
        yield listener


def test_a_unix_socket_is_connected_to_and_described(tmp_path: Path) -> None:
    async def main() -> str:
        with socket_at(tmp_path / "a b%ä:c") as listener:
            origin = split_url(f"unix:{tmp_path}/a%20b%25%C3%A4%3Ac")[0]
            wire = await dial(origin, 5.0)
            peer, _ = listener.accept()
            with peer:
                wire.put(b"hello")
                assert wire.flush()
                assert peer.recv(10) == b"hello"
            described = wire.describe()
            wire.close()
            return described

    assert trio.run(main) == "a Unix socket"


def _nothing(path: Path) -> None:
    pass


def _a_file(path: Path) -> None:
    path.write_bytes(b"")


def _nobody(path: Path) -> None:
    with socket_at(path):
        pass


@pytest.mark.parametrize(
    ("prepare", "told"),
    [
        (_nothing, "there is no such file; its server makes it when it starts"),
        (_a_file, "it is not a socket"),
        (Path.mkdir, "it is not a socket"),
        (_nobody, "connection refused: nobody listens on it"),
    ],
)
def test_a_unix_socket_that_cannot_be_connected_to_is_told_with_the_reason(
    prepare: Callable[[Path], None], told: str, tmp_path: Path
) -> None:
    prepare(tmp_path / "s")
    assert refusal(at(tmp_path / "s")) == told


def test_what_else_the_system_says_of_a_unix_socket_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert refusal(at(tmp_path / "file" / "s")) == "not a directory"
    denied = reason_of_socket(PermissionError(errno.EACCES, "Permission denied"), "/s")  # root is denied nothing
    assert denied == "permission denied; this user needs to write to the socket, and to enter the directories above it"


def test_a_unix_socket_whose_queue_is_full_is_waited_for(tmp_path: Path) -> None:
    async def main() -> None:
        with socket_at(tmp_path / "s", backlog=0) as listener:
            first = await dial(at(tmp_path / "s"), 5.0)
            with pytest.raises(ConnectError, match=r"no answer within 0.05 seconds \(limits.connect_timeout\)"):
                await dial(at(tmp_path / "s"), 0.05)
            async with trio.open_nursery() as nursery:

                async def dial_again() -> None:
                    (await dial(at(tmp_path / "s"), 5.0)).close()

                nursery.start_soon(dial_again)
                await trio.testing.wait_all_tasks_blocked(0.005)
                listener.accept()[0].close()
            first.close()

    trio.run(main)


def test_cancelling_a_dial_at_every_checkpoint_leaves_no_socket_open(tmp_path: Path) -> None:
    async def main() -> None:
        with socket_at(tmp_path / "s") as listener:

            async def action() -> None:
                (await dial(at(tmp_path / "s"), 5.0)).close()
                listener.accept()[0].close()

            assert await cancelled_at_every_checkpoint(action) >= 1

    before = open_descriptors()
    trio.run(main)
    assert open_descriptors() == before
