from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.trial import Trial
from tests.support.unruly_process import unruly

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small file system"),
]


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    disk = directory / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("cannot mount a tmpfs here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("small", [("journal",), ("output",), ("journal", "output")], ids="+".join)
def test_a_disk_that_is_full_again_and_again_loses_nothing(tmp_path: Path, small: tuple[str, ...]) -> None:
    with unruly(tmp_path) as server, small_disk(tmp_path) as disk:
        trial = Trial(tmp_path, server, 20_000)
        for role in small:
            setattr(trial.files, role, disk / role)
        stops = 0
        while (done := trial.run()).returncode == 4:
            assert "Traceback" not in done.stderr
            trial.look_into_the_journal()
            stops += 1
            subprocess.run(["mount", "-o", f"remount,size={100 + 200 * stops}k", disk], check=True)
        assert stops > 5
        counts = trial.finish()
        assert counts["applied"] > 19_000
        if "journal" not in small:
            assert counts["unknown"] == 0
