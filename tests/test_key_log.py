from __future__ import annotations

from pathlib import Path

from tests.support.commands import environment, patchwire, without_traceback

OAUTH2 = """
base_url = "https://127.0.0.1:1"
authentication = "oauth2"
[oauth2]
grant_type = "client_credentials"
client_id = "c"
client_secret = "literal:s"
access_token_url = "https://127.0.0.1:1/token"
"""


def test_a_demo_over_tls_says_that_keys_are_written_and_one_without_writes_none(tmp_path: Path) -> None:
    keys = tmp_path / "keys.log"
    variables = environment(SSLKEYLOGFILE=str(keys))
    plain = patchwire("demo", "--records", "10", env=variables)
    assert (plain.returncode, plain.stderr) == (0, "")
    assert not keys.exists()
    done = patchwire("demo", "--records", "10", "--tls", env=variables)
    assert done.returncode == 0
    assert without_traceback(done)[0].startswith(f"patchwire: warning: TLS keys are written to {keys} (SSLKEYLOGFILE)")
    assert b"CLIENT_TRAFFIC_SECRET_0 " in keys.read_bytes()


def test_nothing_is_authorized_where_keys_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(OAUTH2, "utf-8")
    variables = environment(SSLKEYLOGFILE=str(tmp_path), PATCHWIRE_STATE=str(tmp_path / "state"))
    done = patchwire("authorize", tmp_path / "c.toml", env=variables)
    assert done.returncode == 4
    assert without_traceback(done) == [f"patchwire: {tmp_path}: is a directory (SSLKEYLOGFILE)"]
    forgotten = patchwire("authorize", tmp_path / "c.toml", "--forget", env=variables)
    assert forgotten.returncode == 0, forgotten.stderr


def test_a_check_that_opens_no_connection_writes_none(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('base_url = "https://127.0.0.1:1"\n', "utf-8")
    done = patchwire("check", tmp_path / "c.toml", env=environment(SSLKEYLOGFILE=str(tmp_path / "keys.log")))
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "keys.log").exists()
