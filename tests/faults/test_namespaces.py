"""What becomes of a change where the network itself fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.namespaces import PORT, THEIRS, Hosts, heard, hosts, needs_namespaces, told

pytestmark = needs_namespaces

SEND = (sys.executable, "-m", "patchwire", "send")
BODY = ("/a", "--body", '{"n": 1}')


@pytest.fixture(scope="module")
def pair() -> Iterator[Hosts]:
    with hosts() as both:
        yield both


def connection(directory: Path, url: str, **limits: float) -> Path:
    lines = "".join(f"{name} = {value}\n" for name, value in limits.items())
    path = directory / "c.toml"
    path.write_text(f'base_url = "{url}"\n[limits]\n{lines}', "utf-8")
    return path


def sent(pair: Hosts, file: Path) -> tuple[int, str]:
    done = pair.run(*SEND, file, *BODY)
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.returncode, done.stderr.strip()


def test_where_no_route_leads_nothing_is_sent(tmp_path: Path, pair: Hosts) -> None:
    code, said = sent(pair, connection(tmp_path, "http://192.0.2.1"))
    assert (code, said) == (1, "patchwire: not_sent: cannot connect to http://192.0.2.1: network is unreachable")


def test_where_a_route_is_a_dead_end_nothing_is_sent(tmp_path: Path, pair: Hosts) -> None:
    pair.route("add", "unreachable", "198.51.100.0/24")
    code, said = sent(pair, connection(tmp_path, "http://198.51.100.1"))
    assert code == 1
    assert said.startswith("patchwire: not_sent: cannot connect to http://198.51.100.1: no route to host")


def test_where_a_route_is_a_black_hole_it_is_named(tmp_path: Path, pair: Hosts) -> None:
    pair.route("add", "blackhole", "198.18.0.0/24")
    code, said = sent(pair, connection(tmp_path, "http://198.18.0.1"))
    assert code == 1
    assert said == (
        "patchwire: not_sent: cannot connect to http://198.18.0.1: no usable route: see to the blackholes among this"
        " machine's routes; a link-local address needs its interface"
    )


def test_where_nobody_has_the_address_nothing_is_sent(tmp_path: Path, pair: Hosts) -> None:
    code, said = sent(pair, connection(tmp_path, "http://10.199.0.77", connect_timeout=20))
    assert code == 1
    assert said.startswith("patchwire: not_sent: cannot connect to http://10.199.0.77: no route to host")


def test_where_packets_vanish_the_connection_is_given_up_in_time_and_nothing_is_sent(
    tmp_path: Path, pair: Hosts
) -> None:
    pair.route("add", "203.0.113.0/24", "via", THEIRS)  # who forwards nothing, and does not say so
    code, said = sent(pair, connection(tmp_path, "http://203.0.113.1", connect_timeout=0.5))
    problem = "no answer within 0.5 seconds (limits.connect_timeout)"
    assert (code, said) == (1, f"patchwire: not_sent: cannot connect to http://203.0.113.1: {problem}")


def test_where_nobody_listens_nothing_is_sent(tmp_path: Path, pair: Hosts) -> None:
    code, said = sent(pair, connection(tmp_path, f"http://{THEIRS}:81"))
    assert (code, said) == (1, f"patchwire: not_sent: cannot connect to http://{THEIRS}:81: connection refused")


def test_where_no_name_can_be_looked_up_nothing_is_sent(tmp_path: Path, pair: Hosts) -> None:
    code, said = sent(pair, connection(tmp_path, "http://crm.example", connect_timeout=20))
    assert code == 1
    assert said.startswith("patchwire: not_sent: cannot connect to http://crm.example: ")
    assert "crm.example" in said.removeprefix("patchwire: not_sent: cannot connect to http://crm.example: ")


def test_a_wire_that_is_cut_behind_the_request_leaves_the_change_unknown(tmp_path: Path, pair: Hosts) -> None:
    file = connection(tmp_path, f"http://{THEIRS}:{PORT}", read_timeout=1.0)
    with pair.server() as server:
        client = pair.start(*SEND, file, *BODY)
        assert heard(server) == "received"
        pair.link("down")
        try:
            told(server)
            _, said = client.communicate(timeout=30)
        finally:
            pair.link("up")
    assert client.returncode == 3
    problem = f"http://{THEIRS}:{PORT} was silent for 1 seconds (limits.read_timeout)"
    assert said == f"patchwire: unknown: {problem}\n"


def test_a_wire_that_is_mended_in_time_brings_the_answer(tmp_path: Path, pair: Hosts) -> None:
    file = connection(tmp_path, f"http://{THEIRS}:{PORT}", read_timeout=25)
    with pair.server() as server:
        client = pair.start(*SEND, file, *BODY)
        assert heard(server) == "received"
        pair.link("down")
        told(server)
        assert heard(server) == "answered"
        pair.link("up")
        _, said = client.communicate(timeout=30)
    assert (client.returncode, said) == (0, "patchwire: applied: 204 No Content\n")
