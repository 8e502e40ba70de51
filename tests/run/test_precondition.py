from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from patchwire.errors import OriginError
from tests.support.batches import people
from tests.support.origins import OK, Origins, batch, document, status

MERGE: dict[str, Any] = {"path": "/a", "body": {"n": 1}}
PATCH: dict[str, Any] = {"path": "/a", "body": []}


class Tagged(Origins):
    """A resource whose tag is `current`; a change that is conditional on another is refused, and any moves it on."""

    def __init__(self, *, moved_by_others: int = 0, etag: str = '"%d"') -> None:
        super().__init__(self._answer)
        self.version = 1
        self.moved_by_others = moved_by_others
        self.etag = etag

    def _answer(self, method: str, target: str, body: bytes) -> bytes:
        current = self.etag % self.version if "%" in self.etag else self.etag
        if method == "GET":
            if self.moved_by_others:  # between this GET and the change
                self.moved_by_others -= 1
                self.version += 1
            return document(b"{}", current)
        if self.fields[-1].get("if-match") != current:
            return status(412)
        self.version += 1
        return OK

    @property
    def methods(self) -> list[str]:
        return [method for method, _, _ in self.seen]


def test_the_tag_is_fetched_first_and_sent_as_if_match(tmp_path: Path) -> None:
    origin = Tagged()
    files, summary = batch(tmp_path, origin, people(1) * 3, fetch_tags=True)
    assert summary.counts["applied"] == 3
    assert origin.methods == ["GET", "PATCH"] * 3
    assert [fields.get("if-match") for fields in origin.fields[1::2]] == ['"1"', '"2"', '"3"']
    assert {line["attempts"] for line in files.outcomes()} == {1}


def test_a_get_for_the_tag_carries_nothing_of_the_change(tmp_path: Path) -> None:
    origin = Tagged()
    batch(tmp_path, origin, [MERGE], '[headers]\nX-Own = "1"\n', fetch_tags=True, idempotency_key=True)
    assert origin.seen[0] == ("GET", "/a", b"")
    assert set(origin.fields[0]) == {"host", "x-own", "accept"}
    assert "idempotency-key" in origin.fields[1]


def test_a_record_with_a_tag_of_its_own_is_sent_at_once(tmp_path: Path) -> None:
    origin = Tagged()
    files, _ = batch(tmp_path, origin, [{**MERGE, "if_match": '"0"'}], fetch_tags=True, refetches=3)
    assert origin.methods == ["PATCH"]
    assert (files.outcomes()[0]["outcome"], files.outcomes()[0]["status"]) == ("rejected", 412)


def test_a_stale_tag_is_a_rejection_unless_it_may_be_fetched_again(tmp_path: Path) -> None:
    files, _ = batch(tmp_path, Tagged(moved_by_others=1), [MERGE], fetch_tags=True)
    (line,) = files.outcomes()
    assert (line["outcome"], line["status"], line["attempts"]) == ("rejected", 412, 1)


def test_a_merge_patch_is_sent_again_with_a_new_tag_as_often_as_allowed(tmp_path: Path) -> None:
    origin = Tagged(moved_by_others=2)
    files, _ = batch(tmp_path, origin, [MERGE], fetch_tags=True, refetches=2)
    (line,) = files.outcomes()
    assert (line["outcome"], line["attempts"]) == ("applied", 3)
    assert origin.methods == ["GET", "PATCH"] * 3


def test_refetching_is_bounded(tmp_path: Path) -> None:
    origin = Tagged(moved_by_others=100)
    files, _ = batch(tmp_path, origin, [MERGE], fetch_tags=True, refetches=2)
    (line,) = files.outcomes()
    assert (line["outcome"], line["status"], line["attempts"]) == ("rejected", 412, 3)
    assert origin.methods.count("PATCH") == 3


def test_a_json_patch_is_not_sent_again_with_another_tag(tmp_path: Path) -> None:
    origin = Tagged(moved_by_others=1)
    files, _ = batch(tmp_path, origin, [PATCH], fetch_tags=True, refetches=5)
    assert files.outcomes()[0]["status"] == 412
    assert origin.methods.count("PATCH") == 1


@pytest.mark.parametrize(
    ("etag", "problem"),
    [('W/"1"', 'its entity tag W/"1" is weak or malformed'), ("1", "its entity tag 1 is weak or malformed")],
)
def test_a_tag_that_could_never_match_is_not_sent(tmp_path: Path, etag: str, problem: str) -> None:
    origin = Tagged(etag=etag)
    files, _ = batch(tmp_path, origin, [MERGE], fetch_tags=True)
    (line,) = files.outcomes()
    assert origin.methods == ["GET"]
    assert (line["outcome"], line["status"], line["attempts"]) == ("not_sent", None, 1)
    assert problem in line["error"]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (status(404), "the GET for its entity tag was answered with 404"),
        (status(200), "there is no entity tag to send as If-Match"),
    ],
)
def test_without_a_tag_nothing_is_sent(tmp_path: Path, answer: bytes, problem: str) -> None:
    origin = Origins(lambda *_: answer)
    files, _ = batch(tmp_path, origin, [MERGE], fetch_tags=True)
    (line,) = files.outcomes()
    assert (line["outcome"], line["error"]) == ("not_sent", problem)
    assert len(origin.seen) == 1


@pytest.mark.parametrize("first", [status(503, "Retry-After: 0"), status(429), b""])
def test_a_get_that_may_succeed_later_is_tried_again(tmp_path: Path, first: bytes) -> None:
    answers = iter([first, document(b"{}"), OK])
    files, _ = batch(tmp_path, Origins(lambda *_: next(answers)), [MERGE], fetch_tags=True)
    assert (files.outcomes()[0]["outcome"], files.outcomes()[0]["attempts"]) == ("applied", 2)


def test_an_origin_that_refuses_its_own_tags_is_found_out_and_the_run_stops(tmp_path: Path) -> None:
    origin = Origins(lambda method, target, body: document(b"{}") if method == "GET" else status(412))
    files, summary = batch(tmp_path, origin, people(50), fetch_tags=True, refetches=5, concurrency=1)
    (failure,) = summary.failures
    assert isinstance(failure, OriginError)
    assert "answers 412 to the very entity tags that it gives" in str(failure)
    assert [line["error"] for line in files.outcomes()] == [
        "the origin still gives the very tag that it has refused: its tags never match"
    ] * 3
    assert sum(method == "PATCH" for method, _, _ in origin.seen) == 3


def test_a_tag_that_matched_once_clears_the_origin_of_suspicion(tmp_path: Path) -> None:
    def answer(method: str, target: str, body: bytes) -> bytes:
        if method == "GET":
            return document(b"{}")
        return OK if target == "/people/0" else status(412)

    origin = Origins(answer)
    _, summary = batch(tmp_path, origin, people(20), fetch_tags=True, concurrency=1)
    assert summary.failures == []
    assert summary.counts["rejected"] == 19
    assert len(origin.seen) == 40  # no look after a 412 any more


def test_credentials_that_are_rejected_for_the_tag_stop_the_run(tmp_path: Path) -> None:
    origin = Origins(lambda *_: status(401, 'WWW-Authenticate: Basic realm="r"'))
    basic = 'authentication = "basic"\nuser = "svc"\npassword = "literal:canary"\npreemptive = true\n'
    _, summary = batch(tmp_path, origin, people(10), basic, fetch_tags=True)
    assert "user 'svc'" in str(summary.failures[0])
    assert len(origin.seen) == 1
    assert summary.records == 0


def test_a_resend_after_an_unknown_attempt_keeps_the_tag_that_was_sent(tmp_path: Path) -> None:
    tags = iter(['"1"', '"2"', '"3"'])
    answers = iter([OK, b"", OK])

    def answer(method: str, target: str, body: bytes) -> bytes:
        return document(b"{}", next(tags)) if method == "GET" else next(answers)

    origin = Origins(answer)
    files, _ = batch(tmp_path, origin, people(2), fetch_tags=True, concurrency=1)
    sent = [
        fields["if-match"]
        for (method, _, _), fields in zip(origin.seen, origin.fields, strict=True)
        if method == "PATCH"
    ]
    assert sent == ['"1"', '"2"', '"2"']
    assert [line["outcome"] for line in files.outcomes()] == ["applied", "applied"]
