from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest
import trio

from patchwire.http.message import Origin
from patchwire.run import journal as journal_module
from patchwire.run.batch import Summary
from patchwire.run.journal import Durability
from tests.support.batches import BatchFiles, people
from tests.support.origins import OK
from tests.support.peer import RequestReader, listening
from tests.support.power import Machine

STEP = 300
CONNECTIONS = 4


class Plant:
    """A server that outlives the machine of its client, and the client's lives until the power goes."""

    def __init__(self, machine: Machine, chance: Random) -> None:
        self.applied: Counter[str] = Counter()
        self.machine = machine
        self.chance = chance
        self.cut_after = 0
        self.power = trio.CancelScope()
        self.into: Path | None = None
        self.files: BatchFiles | None = None

    async def __call__(self, stream: trio.SocketStream) -> None:
        reader = RequestReader(stream)
        while (request := await reader.next()) is not None:
            if self.into is None:
                return
            self.applied[request[1]] += 1
            if sum(self.applied.values()) >= self.cut_after:
                self._go_dark()
                return
            await stream.send_all(OK)

    def _go_dark(self) -> None:
        assert self.into is not None
        assert self.files is not None
        self.machine.cut(self.files.journal, self.into, self.chance)
        output = self.files.output.read_bytes()  # the disk may have taken any part of it, and zeros for the rest
        kept = self.chance.randint(0, len(output))
        (self.into / self.files.output.name).write_bytes(output[:kept] + bytes(self.chance.choice([0, 50])))
        self.into = None
        self.power.cancel()

    async def life(self, files: BatchFiles, into: Path | None, after: int, **options: object) -> Summary | None:
        """A run until the power goes after so many more changes; None then."""
        self.files, self.into = files, into or files.directory / "never"
        self.cut_after = sum(self.applied.values()) + after if into is not None else 1 << 60
        with trio.CancelScope() as self.power:
            return await files.run(concurrency=CONNECTIONS, **options)
        return None


async def lives(
    directory: Path, machine: Machine, chance: Random, *, records: int, cuts: int, **options: object
) -> tuple[Plant, BatchFiles]:
    """Runs of one batch, each of which but the last ends with a power cut."""
    plant = Plant(machine, chance)
    async with listening(plant) as origin:
        for number in range(cuts + 1):
            files = moved_to(directory / str(number), origin, records)
            following = directory / str(number + 1)
            following.mkdir()
            share = (records - sum(plant.applied.values())) // (cuts - number + 1)
            into = following if number < cuts and share > 0 else None
            summary = await plant.life(files, into, chance.randint(1, max(1, share)), **options)
            if summary is not None:
                assert summary.failures == []
                break
    return plant, files


def moved_to(directory: Path, origin: Origin, records: int) -> BatchFiles:
    directory.mkdir(exist_ok=True)
    files = BatchFiles(directory, origin)
    files.write(people(records))
    return files


def hold_against(plant: Plant, files: BatchFiles, records: int) -> Counter[str]:
    """Every outcome against what the server has applied."""
    lines = files.outcomes()
    assert [line["seq"] for line in lines] == list(range(records))
    for line in lines:
        times = plant.applied[line["path"]]
        assert times == 1 if line["outcome"] == "applied" else times <= 1, (line, times)
    assert sorted(files.ids(files.unknown)) == sorted(
        str(line["id"]) for line in lines if line["outcome"] == "unknown"
    )
    return Counter(str(line["outcome"]) for line in lines)


@pytest.mark.parametrize("seed", range(4))
def test_after_power_cuts_nothing_is_doubled_or_lost_and_what_the_disk_did_not_take_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(journal_module, "HORIZON_STEP", STEP)
    machine, chance = Machine(monkeypatch), Random(seed)
    plant, files = trio.run(lambda: lives(tmp_path, machine, chance, records=2000, cuts=3))
    counts = hold_against(plant, files, 2000)
    assert set(counts) <= {"applied", "unknown"}
    assert 0 < counts["unknown"] <= 3 * (STEP + 256)


def test_with_full_durability_a_power_cut_leaves_only_what_was_in_flight_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, chance = Machine(monkeypatch), Random(7)
    full = {"durability": Durability.FULL}
    plant, files = trio.run(lambda: lives(tmp_path, machine, chance, records=1000, cuts=4, **full))
    counts = hold_against(plant, files, 1000)
    assert counts["unknown"] <= 4 * CONNECTIONS


def test_what_a_power_cut_left_in_doubt_can_be_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "HORIZON_STEP", STEP)
    machine, chance = Machine(monkeypatch), Random(3)

    async def job() -> None:
        plant = Plant(machine, chance)
        async with listening(plant) as origin:
            files = moved_to(tmp_path / "before", origin, 500)
            (tmp_path / "after").mkdir()
            assert await plant.life(files, tmp_path / "after", 200) is None
            files = moved_to(tmp_path / "after", origin, 500)
            summary = await plant.life(files, None, 0, retry_unknown=True)
        assert summary is not None
        assert summary.counts["applied"] == 500
        assert {line["outcome"] for line in files.outcomes()} == {"applied"}
        assert len(files.outcomes()) == 500
        assert max(plant.applied.values()) == 2

    trio.run(job)


def test_a_machine_that_went_down_behind_a_finished_run_puts_nothing_in_doubt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(monkeypatch)

    async def job() -> None:
        plant = Plant(machine, Random(1))
        async with listening(plant) as origin:
            files = moved_to(tmp_path / "here", origin, 50)
            await plant.life(files, None, 0)
            machine.boots += 1
            files.write(people(80))
            summary = await plant.life(files, None, 0)
        assert summary is not None
        assert (summary.counts["applied"], summary.counts["unknown"]) == (80, 0)

    trio.run(job)


def test_a_kill_without_a_power_cut_puts_nothing_in_doubt_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(monkeypatch)

    async def job() -> None:
        plant = Plant(machine, Random(1))
        async with listening(plant) as origin:
            files = moved_to(tmp_path / "here", origin, 400)
            with trio.CancelScope() as killed:

                def answer() -> None:
                    if sum(plant.applied.values()) > 100:
                        killed.cancel()

                async with trio.open_nursery() as nursery:

                    async def watch() -> None:
                        while True:
                            await trio.lowlevel.checkpoint()
                            answer()

                    nursery.start_soon(watch)
                    await plant.life(files, None, 0)
            summary = await plant.life(files, None, 0)
        assert summary is not None
        assert summary.counts["unknown"] <= CONNECTIONS
        assert summary.records == 400

    trio.run(job)
