"""The --output of a run: whether the file that stands there is this journal's own, to be added to or made anew.

The journal notes which file it has last left there. Where that is not the one that is found, or the machine has gone
down since, no line of it is believed without a look at the journal; a file that the journal never had is not touched.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from patchwire.delivery.outcome import Outcome
from patchwire.delivery.outcome_line import OutcomeLine
from patchwire.files.outcomes import STANDARD_OUTPUT, LineFile, Trust, file_identity, open_output
from patchwire.run.journal import Journal


def note_of(name: str | None, journal: Path) -> dict[str, str]:
    """What a journal that is begun anew notes of its --output: any file that stands there may be replaced."""
    if name is None or name == STANDARD_OUTPUT:
        return {}
    # Relative to the journal: both may move together.
    return {"output": os.path.relpath(os.path.realpath(name), os.path.realpath(journal.parent))}


def open_run_output(name: str, journal: Journal) -> LineFile:
    """The file, holding once what earlier runs of the journal have settled.

    A pipe gets of it what stands; what is unknown may yet change, and is told at the end. InputError where the file
    is something else, StorageError where it cannot be written.
    """
    if name == STANDARD_OUTPUT or (Path(name).exists() and not Path(name).is_file()):
        return open_output(name, _known(journal), journal.line)
    file = open_output(name, journal.lines(), journal.line, _trust(name, journal))
    note_output(name, journal)
    return file


def note_output(name: str, journal: Journal) -> None:
    """Let the journal know the file that stands there now, if any does, for its own."""
    if name != STANDARD_OUTPUT and Path(name).is_file():
        journal.note({**note_of(name, journal.path), "output_file": file_identity(name)})


def _trust(name: str, journal: Journal) -> Trust:
    notes = journal.notes
    if notes.get("output") != note_of(name, journal.path)["output"]:
        return Trust.NONE
    if journal.outlived_the_machine or notes.get("output_file") != file_identity(name):
        return Trust.CLAIMED
    return Trust.OURS


def _known(journal: Journal) -> Iterator[OutcomeLine]:
    return (line for line in journal.lines() if line.outcome != Outcome.UNKNOWN.value)
