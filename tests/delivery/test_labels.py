from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from patchwire.delivery.labels import Labels, idempotency_key, request_id
from patchwire.delivery.record import Record, RecordParser
from patchwire.settings.connection import parse_connection, resolve

PARSER = RecordParser(resolve("c", parse_connection("c", {"base_url": "http://h"}), {}))
SEQS, DIGESTS, NAMES = (
    st.integers(0, 10**9),
    st.binary(min_size=16, max_size=16),
    st.text("0123456789abcdef", min_size=8),
)


def record(seq: int = 3, line: str = '{"path": "/a", "body": {}}') -> Record:
    return PARSER.parse(line.encode(), seq)


@given(st.lists(st.tuples(NAMES, SEQS, DIGESTS), unique=True))
def test_keys_of_different_journals_records_and_lines_differ_and_the_same_have_the_same(
    attempts: list[tuple[str, int, bytes]],
) -> None:
    keys = [idempotency_key(*attempt) for attempt in attempts]
    assert len(set(keys)) == len(keys)
    assert keys == [idempotency_key(*attempt) for attempt in attempts]
    assert all(re.fullmatch("[0-9a-f]{32}", key) for key in keys)


def test_a_key_is_sent_as_a_quoted_string_and_is_the_same_in_every_run() -> None:
    runs = [Labels(journal="j", run=run, idempotency_key=True) for run in (1, 2)]
    first, second = (labels.keyed(record()).header(b"idempotency-key") for labels in runs)
    assert first == second == b'"%s"' % idempotency_key("j", 3, record().digest()).encode()


def test_without_keys_a_record_goes_out_as_it_is() -> None:
    request = record().request
    assert Labels(journal="j", run=1).keyed(record()) == request


def test_a_key_of_the_records_own_stands() -> None:
    own = record(line=json.dumps({"path": "/a", "body": {}, "headers": {"idempotency-key": '"mine"'}}))
    assert Labels(journal="j", run=1, idempotency_key=True).keyed(own) == own.request


def test_an_id_names_the_journal_the_record_the_run_and_the_attempt() -> None:
    labels = Labels(journal="j4f", run=2, request_id_header="X-Request-Id")
    request = labels.identified(record().request, 3, 5)
    assert request.header(b"x-request-id") == b"j4f-3-2.5"
    assert request_id("j4f", 3) == "j4f-3"


def test_without_a_field_for_it_no_id_is_sent() -> None:
    request = record().request
    assert Labels(journal="j", run=1).identified(request, 3, 1) is request
