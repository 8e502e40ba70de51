from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchwire.http.chunks import MAX_CHUNK_LINE, ChunkLines

CHUNKS = st.lists(st.binary(min_size=1, max_size=9), max_size=5)
EXTENSIONS = st.sampled_from([b"", b";a", b" ; a = b", b';a="x;y"', b"\t;\t", b" "])


@given(
    CHUNKS, EXTENSIONS, st.sampled_from([b"\r\n", b"X: y\r\n\r\n", b"\n"]), st.binary(max_size=5), st.integers(1, 9)
)
def test_extensions_go_bodies_stay_and_the_end_is_found(
    chunks: list[bytes], extension: bytes, trailer: bytes, surplus: bytes, cut: int
) -> None:
    wire = b"".join(b"%X%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks) + b"0\r\n" + trailer
    plain = b"".join(b"%X\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n" + trailer
    lines = ChunkLines(100)
    passed = b""
    data = wire + surplus
    for at in range(0, len(data), cut):
        piece, fault = lines.feed(data[at : at + cut])
        assert fault is None
        passed += piece
    assert (passed, lines.surplus) == (plain, surplus)


@pytest.mark.parametrize(("size", "passes"), [(1, False), (4, False), (16, True)])
@pytest.mark.parametrize("cut", [1, 10_000])
def test_a_body_in_tiny_chunks_is_given_up_and_one_in_small_chunks_is_not(size: int, passes: bool, cut: int) -> None:
    wire = (b"%x\r\n" % size + b"a" * size + b"\r\n") * 1000
    lines = ChunkLines(1000)
    faults = {lines.feed(wire[at : at + cut])[1] for at in range(0, len(wire), cut)} - {None}
    assert ("more chunk framing than chunk data" in faults) is not passes


def test_a_line_that_never_ends_is_given_up_at_the_limit() -> None:
    lines = ChunkLines(100)
    assert lines.feed(b"1;" + b"a" * (MAX_CHUNK_LINE - 2)) == (b"", None)
    assert lines.feed(b"a") == (b"", f"chunk-size line over {MAX_CHUNK_LINE} bytes")


@pytest.mark.parametrize("cut", [1, 100])
@pytest.mark.parametrize(
    ("wire", "fault"),
    [
        (b"2\r\nabX\r\n", "chunk data not followed by CRLF"),
        (b"2\r\nab\rX", "chunk data not followed by CRLF"),
        (b"2\r\nab\n0\r\n\r\n", "chunk data not followed by CRLF"),
        (b"x\r\n", "malformed chunk-size line"),
        (b"\r\n", "malformed chunk-size line"),
        (b"2\nab\r\n", "malformed chunk-size line"),
        (b" 2\r\nab\r\n", "malformed chunk-size line"),
        (b"-1\r\n", "malformed chunk-size line"),
        (b"0x2\r\n", "malformed chunk-size line"),
        (b"2;a=\x00\r\nab\r\n", "malformed chunk-size line"),
        (b"2;a\rb\r\nab\r\n", "malformed chunk-size line"),
        (b"0\r\nX: " + b"y" * 30, "trailer section over 20 bytes"),
    ],
)
def test_what_is_no_chunked_body_is_named(wire: bytes, fault: str, cut: int) -> None:
    lines = ChunkLines(20)
    faults = [lines.feed(wire[at : at + cut])[1] for at in range(0, len(wire), cut)]
    assert next(filter(None, faults), None) == fault


@given(st.text("01a;X: \r\n", max_size=40).map(str.encode) | st.binary(max_size=20), st.integers(1, 40))
def test_any_octets_are_judged_alike_however_they_are_cut(wire: bytes, cut: int) -> None:
    whole, cut_up = ChunkLines(10), ChunkLines(10)
    expected, fault = whole.feed(wire)
    passed, first_fault = b"", None
    for at in range(0, len(wire), cut):
        piece, first_fault = cut_up.feed(wire[at : at + cut])
        passed += piece
        if first_fault is not None:
            break
    assert (passed, first_fault) == (expected, fault)
    if fault is None:
        assert cut_up.surplus == whole.surplus
