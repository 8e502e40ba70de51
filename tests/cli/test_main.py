from __future__ import annotations

import pytest

from tests.support.commands import patchwire, without_traceback


def test_help_names_every_command() -> None:
    done = patchwire("--help")
    assert done.returncode == 0
    for command in ("batch", "demo", "serve"):
        assert command in done.stdout


@pytest.mark.parametrize("arguments", [["nonsense"], ["batch"], ["batch", "--nonsense"], ["serve", "--port", "x"]])
def test_bad_usage_exits_with_2_and_no_traceback(arguments: list[str]) -> None:
    done = patchwire(*arguments)
    assert done.returncode == 2
    assert without_traceback(done)


def test_the_version_is_told() -> None:
    assert "0.1.0" in patchwire("--version").stdout
