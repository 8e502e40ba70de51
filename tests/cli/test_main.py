from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.commands import PATCHWIRE, patchwire, without_traceback


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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("arguments", [["--help"], ["demo", "--records", "5"], ["batch", "--help"]])
def test_a_full_standard_output_is_one_line_and_exit_code_4(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*PATCHWIRE, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert done.returncode == 4
    assert done.stderr.splitlines() == ["patchwire: standard output: no space left on device"]
