from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.delivery.outcome import Outcome
from patchwire.delivery.outcome_line import OutcomeLine, line_from
from patchwire.errors import InputError, StorageError
from patchwire.files.outcomes import (
    BEGIN_OF_OUTCOME,
    BEGIN_OF_RECORD,
    LineFile,
    Trust,
    Written,
    encode,
    open_output,
    refuse_foreign,
    rewrite_output,
)


def line(seq: int, outcome: Outcome = Outcome.APPLIED) -> OutcomeLine:
    return line_from(seq, str(seq), "/a", outcome, 200, attempts=1, etag=None, seconds=0.1, error=None, properties=b"")


def write(path: Path, *lines: OutcomeLine) -> bytes:
    content = b"".join(encode(each) + b"\n" for each in lines)
    path.write_bytes(content)
    return content


def nothing(_: int) -> None:
    """What holds of a number in a journal that has none."""


def seqs(path: Path) -> list[int]:
    return [json.loads(text)["seq"] for text in path.read_text("utf-8").splitlines()]


@given(st.lists(st.integers(0, 20_000), max_size=30), st.lists(st.integers(0, 20_000), max_size=30))
def test_the_bits_are_a_set_of_numbers(added: list[int], asked: list[int]) -> None:
    written = Written()
    for seq in added:
        written.add(seq)
    for seq in added + asked:
        assert written.has(seq) is (seq in added)


@pytest.mark.parametrize(
    ("content", "begins", "refused"),
    [
        (b"", BEGIN_OF_OUTCOME, False),
        (b'{"seq":0}', BEGIN_OF_OUTCOME, False),
        (b'{"s', BEGIN_OF_OUTCOME, False),
        (b'{"id": "r1"}', BEGIN_OF_OUTCOME, True),
        (b'{"id": "r1"}', BEGIN_OF_RECORD, False),
        (b"text", BEGIN_OF_RECORD, True),
        (b"\n", BEGIN_OF_RECORD, True),
    ],
)
def test_a_file_that_does_not_begin_like_one_of_ours_is_foreign(
    tmp_path: Path, content: bytes, begins: bytes, refused: bool
) -> None:
    (tmp_path / "out").write_bytes(content)
    with pytest.raises(InputError, match="something else than lines") if refused else nullcontext():
        refuse_foreign(str(tmp_path / "out"), "lines", begins)
    refuse_foreign(str(tmp_path / "none"), "lines", begins)


@pytest.mark.parametrize("cut", [0, 1, 5, 80, -1])
def test_a_torn_last_line_is_cut_and_what_is_missing_is_written(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "out"
    whole = b"".join(encode(line(seq)) + b"\n" for seq in (4, 2, 0))
    path.write_bytes(whole if cut == -1 else whole + (encode(line(1)) + b"\n")[:cut])
    file = open_output(str(path), (line(seq) for seq in range(6)), line)
    file.write([encode(line(6))])
    file.close()
    assert sorted(seqs(path)) == list(range(7))
    assert path.read_bytes().startswith(whole)


def test_an_output_that_is_gone_is_written_whole_from_the_journal(tmp_path: Path) -> None:
    open_output(str(tmp_path / "out"), map(line, range(3)), line).close()
    assert seqs(tmp_path / "out") == [0, 1, 2]


@pytest.mark.parametrize(
    "text",
    ["not an outcome\n", '{"seq": "x"}\n', "{}\n", '{"seq": -9999999999}\n', "\xff\n", '{"seq": 9000000000000}\n'],
)
def test_a_file_that_is_something_else_is_refused_and_stays_as_it_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "out"
    content = encode(line(0)) + b"\n" + text.encode("latin-1")
    path.write_bytes(content)
    with pytest.raises(InputError, match=":2: is no outcome line; name another --output"):
        open_output(str(path), [line(0)], line)
    assert path.read_bytes() == content


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere/out: no such file"):
        LineFile(str(tmp_path / "nowhere" / "out"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_device_is_named_when_the_file_is_written_or_closed() -> None:
    with pytest.raises(StorageError, match="/dev/full: no space left"):
        LineFile("/dev/full").write([b"x" * 1_000_000])
    file = LineFile("/dev/full")
    file.write([b"x"])
    with pytest.raises(StorageError, match="/dev/full: no space left"):
        file.close()


@given(st.data())
def test_each_outcome_stands_once_after_a_kill_at_any_octet_and_a_resume(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("resume") / "out"
    order = data.draw(st.permutations(range(8)))
    settled = data.draw(st.sets(st.integers(0, 7)))
    whole = b"".join(encode(line(seq)) + b"\n" for seq in order if seq in settled)
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    file = open_output(str(path), (line(seq) for seq in sorted(settled)), line)
    file.write(encode(line(seq)) for seq in range(8) if seq not in settled)
    file.close()
    assert sorted(seqs(path)) == list(range(8))
    assert path.read_bytes().endswith(b"\n")


def test_a_file_that_replaces_another_takes_its_place_when_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "failed"
    path.write_bytes(b"before\n")
    file = LineFile(str(path), replacing=True)
    file.write([b"after"])
    assert path.read_bytes() == b"before\n"
    file.close()
    assert path.read_bytes() == b"after\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_not_kept_leaves_the_other_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "failed"
    path.write_bytes(b"before\n")
    file = LineFile(str(path), replacing=True)
    file.write([b"after"])
    file.close(keep=False)
    assert path.read_bytes() == b"before\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_take_the_others_place_is_named_and_goes(tmp_path: Path) -> None:
    path = tmp_path / "failed"
    file = LineFile(str(path), replacing=True)
    file.write([b"after"])
    path.mkdir()
    with pytest.raises(StorageError, match="failed: is a directory"):
        file.close()
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_is_no_output(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is a directory"):
        LineFile(str(tmp_path))
    with pytest.raises(StorageError, match="is a directory"):
        open_output(str(tmp_path), [], line)


def test_standard_output_takes_all_of_earlier_runs_and_stays_open(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    file = open_output("-", [line(0), line(1)], line)
    file.write([encode(line(2))])
    file.close()
    sys.stdout.buffer.write(b"{}\n")
    sys.stdout.flush()
    written = capsysbinary.readouterr().out
    assert written == b"".join(encode(line(seq)) + b"\n" for seq in range(3)) + b"{}\n"


def test_a_closed_standard_output_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(StorageError, match="^-: standard output is closed$"):
        LineFile("-")


def test_a_file_of_one_line_that_is_no_outcome_is_not_taken_for_a_torn_one(tmp_path: Path) -> None:
    path = tmp_path / "precious.json"
    path.write_text('{"precious": true}', "utf-8")
    with pytest.raises(InputError, match="is no outcome line"):
        open_output(str(path), [], line)
    assert path.read_text("utf-8") == '{"precious": true}'


@pytest.mark.parametrize("now", [line(1), line(1, Outcome.REJECTED), None])
def test_an_output_with_an_overtaken_line_is_replaced_by_what_the_journal_says_and_goes_on(
    tmp_path: Path, now: OutcomeLine | None
) -> None:
    path = tmp_path / "out"
    path.write_bytes(write(path, line(3), line(1, Outcome.UNKNOWN), line(0)) + b'{"seq":2,')
    current = {0: line(0), 2: line(2), 3: line(3), 1: now}
    file = open_output(str(path), [each for each in current.values() if each], current.get)
    file.write([encode(line(4))])
    file.close()
    assert path.read_bytes() == write(tmp_path / "expected", *filter(None, current.values()), line(4))


def test_only_what_was_unknown_can_be_overtaken_so_only_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "out"
    unknown = line(5, Outcome.UNKNOWN)
    kept = write(path, line(3), unknown, line(1, Outcome.REJECTED), line(2, Outcome.NOT_SENT))
    asked: list[int] = []

    def current(seq: int) -> OutcomeLine:
        asked.append(seq)
        return unknown

    open_output(str(path), map(line, [0, 1, 2, 3, 5]), current).close()
    assert path.read_bytes() == kept + encode(line(0)) + b"\n"
    assert asked == [5]


def test_an_output_that_is_a_link_stays_one_when_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    write(tmp_path / "real", line(0, Outcome.UNKNOWN))
    (tmp_path / "out").symlink_to(tmp_path / "real")
    open_output(str(tmp_path / "out"), map(line, [1]), nothing).close()
    assert (tmp_path / "out").is_symlink()
    assert seqs(tmp_path / "real") == [1]


def test_a_file_that_replaces_another_may_be_read_by_no_more_than_that_one(tmp_path: Path) -> None:
    path = tmp_path / "failed"
    path.touch(0o600)
    LineFile(str(path), replacing=True).close()
    assert path.stat().st_mode & 0o777 == 0o600


# --- making it anew


def test_an_output_is_made_anew_behind_a_link_and_for_the_same_readers(tmp_path: Path) -> None:
    (tmp_path / "real").touch(0o600)
    write(tmp_path / "real", line(0, Outcome.UNKNOWN), line(0))
    (tmp_path / "out").symlink_to(tmp_path / "real")
    rewrite_output(str(tmp_path / "out"), [line(0)])
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "out").read_bytes() == encode(line(0)) + b"\n"


@pytest.mark.parametrize("instead", [None, b"something else"])
def test_a_file_that_is_removed_or_replaced_while_it_is_written_is_said_to_be(
    tmp_path: Path, instead: bytes | None
) -> None:
    path = tmp_path / "out"
    file = open_output(str(path), [line(0)], line)
    path.unlink()
    if instead is not None:
        path.write_bytes(instead)
    with pytest.raises(StorageError, match="was removed or replaced; the same command writes it anew"):
        file.close()


def test_an_output_in_which_a_number_stands_twice_is_written_anew_with_each_once(tmp_path: Path) -> None:
    path = tmp_path / "out"
    write(path, line(2), line(0, Outcome.UNKNOWN), line(1), line(0))
    file = open_output(str(path), map(line, range(4)), line)
    file.write([encode(line(4))])
    file.close()
    assert path.read_bytes() == b"".join(encode(line(seq)) + b"\n" for seq in range(5))
    assert list(tmp_path.iterdir()) == [path]


# --- what a power cut leaves

ZEROS = bytes(50)


@pytest.mark.parametrize("left", [ZEROS, b'{"seq":2,' + ZEROS, b'{"se', b'"seq":2}', b"\xff"])
def test_a_power_cut_may_leave_anything_behind_the_last_whole_line(tmp_path: Path, left: bytes) -> None:
    path = tmp_path / "out"
    kept = write(path, line(1))
    path.write_bytes(kept + left)
    open_output(str(path), map(line, range(3)), line, Trust.CLAIMED).close()
    assert path.read_bytes().startswith(kept)
    assert sorted(seqs(path)) == [0, 1, 2]


@pytest.mark.parametrize("left", [ZEROS + b"\n", b"}\n", b'{"seq":2' + ZEROS + b'}\n{"seq":0}\n'])
def test_where_a_power_cut_has_left_lines_without_sense_all_is_written_anew(tmp_path: Path, left: bytes) -> None:
    path = tmp_path / "out"
    path.write_bytes(write(path, line(1)) + left)
    with pytest.raises(InputError, match=":2: is no outcome line; name another --output"):
        open_output(str(path), map(line, range(3)), line)
    open_output(str(path), map(line, range(3)), line, Trust.CLAIMED).close()
    assert seqs(path) == [0, 1, 2]


@pytest.mark.parametrize("settled", [[], [line(0), line(1)]])
def test_an_output_of_zeros_alone_begins_anew_after_a_power_cut(tmp_path: Path, settled: list[OutcomeLine]) -> None:
    path = tmp_path / "out"
    path.write_bytes(ZEROS)
    refuse_foreign(str(path), "outcomes", BEGIN_OF_OUTCOME, may_be_torn=True)
    with pytest.raises(InputError, match="something else than outcomes"):
        refuse_foreign(str(path), "outcomes", BEGIN_OF_OUTCOME)
    open_output(str(path), settled, line, Trust.CLAIMED).close()
    assert seqs(path) == [each.seq for each in settled]


def test_lines_that_a_power_cut_has_kept_while_the_journal_lost_them_go(tmp_path: Path) -> None:
    path = tmp_path / "out"
    write(path, line(0), line(1), line(2))
    open_output(str(path), [line(0), line(1)], {0: line(0), 1: line(1)}.get, Trust.CLAIMED).close()
    assert seqs(path) == [0, 1]


# --- a file that the journal does not know


def test_a_file_that_tells_what_the_journal_knows_is_added_to_whoever_wrote_it(tmp_path: Path) -> None:
    path = tmp_path / "out"
    kept = write(path, line(2), line(0))
    open_output(str(path), map(line, range(3)), line, Trust.NONE).close()
    assert path.read_bytes() == kept + encode(line(1)) + b"\n"


def test_what_was_unknown_in_it_may_have_been_overtaken(tmp_path: Path) -> None:
    path = tmp_path / "out"
    write(path, line(1, Outcome.UNKNOWN), line(0))
    open_output(str(path), map(line, range(2)), line, Trust.NONE).close()
    assert path.read_bytes() == write(tmp_path / "expected", line(0), line(1))


@pytest.mark.parametrize("other", [line(0, Outcome.REJECTED), line(5), line(5, Outcome.UNKNOWN)])
def test_outcomes_of_another_journal_are_refused_and_stay_as_they_are(tmp_path: Path, other: OutcomeLine) -> None:
    path = tmp_path / "out"
    kept = write(path, other)
    with pytest.raises(InputError, match=":1: is no outcome of this journal; name another --output"):
        open_output(str(path), [line(0)], {0: line(0)}.get, Trust.NONE)
    assert path.read_bytes() == kept
