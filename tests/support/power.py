"""A power cut: what a journal has left when the machine goes down in mid-run and starts anew."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import pytest

from patchwire.run import journal as journal_module
from patchwire.run.journal import Journal


class Machine:
    """A machine whose disk has surely taken of a journal's log only what a synced transaction has made it take.

    Logs are never begun anew on it, so that their length says how much of them there is.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.boots = 1
        self._synced: dict[Path, int] = {}
        moved: list[bool] = []
        set_value, begin, commit = Journal._set, Journal._begin_run, Journal.commit

        def setting(journal: Journal, key: str, value: str | int) -> None:
            set_value(journal, key, value)
            moved.append(key == "horizon")

        def beginning(journal: Journal) -> None:
            begin(journal)
            journal._database.execute("PRAGMA wal_autocheckpoint = 0")
            self._note(journal)

        def committing(journal: Journal, *arguments: object) -> None:
            moved.clear()
            commit(journal, *arguments)  # type: ignore[arg-type]
            if any(moved) or journal.waits_for_the_disk:
                self._note(journal)

        monkeypatch.setattr(journal_module, "boot_id", lambda: f"boot {self.boots}")
        monkeypatch.setattr(Journal, "_set", setting)
        monkeypatch.setattr(Journal, "_begin_run", beginning)
        monkeypatch.setattr(Journal, "commit", committing)

    def cut(self, journal: Path, into: Path, chance: Random) -> None:
        """The power goes: what stands on the disk then, in another directory. Some of the log may be missing."""
        self.boots += 1
        shutil.copyfile(journal, into / journal.name)
        log = _log_of(journal).read_bytes()
        kept = chance.randint(self._synced[journal], len(log))
        _log_of(into / journal.name).write_bytes(log[:kept])

    def _note(self, journal: Journal) -> None:
        self._synced[journal.path] = _log_of(journal.path).stat().st_size


def _log_of(journal: Path) -> Path:
    return journal.with_name(journal.name + "-wal")
