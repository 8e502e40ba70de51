from __future__ import annotations

import pytest

from patchwire.delivery.validators import ENOUGH, Validators, is_strong
from patchwire.http.message import Request, Response, request_to


def patch(if_match: str | None = None) -> Request:
    return request_to("PATCH", "http://h/a", headers=[("If-Match", if_match)] if if_match else [])


def answer(status: int, etag: str | None = None) -> Response:
    return Response(status, ((b"ETag", etag.encode()),) if etag is not None else ())


@pytest.mark.parametrize(
    ("tag", "strong"),
    [
        (b'"v1"', True),
        (b'""', True),
        (b'W/"v1"', False),
        (b"v1", False),
        (b"", False),
        (b"*", False),
        (b'"a", "b"', False),
        (b'"a', False),
    ],
)
def test_only_one_strong_tag_can_be_sent_back(tag: bytes, strong: bool) -> None:
    assert is_strong(tag) is strong


@pytest.mark.parametrize(
    ("request_", "response", "honoured"),
    [
        (patch('"1"'), answer(412), True),
        (patch(), answer(412), False),
        (patch('"1"'), answer(204), False),
        (patch(), answer(204, '"2"'), True),
        (patch('"1"'), answer(200, '"2"'), True),
        (patch(), answer(204, 'W/"2"'), False),
        (patch(), answer(404, '"2"'), False),
        (patch(), answer(204, "2"), False),
        (patch('"1"'), answer(428), False),
    ],
)
def test_if_match_is_seen_at_work_by_a_412_to_it_or_a_strong_tag_behind_a_change(
    request_: Request, response: Response, honoured: bool
) -> None:
    validators = Validators()
    assert not validators.are_honoured
    validators.learn(request_, response)
    assert validators.are_honoured is honoured


def test_what_was_seen_at_work_once_stays_so() -> None:
    validators = Validators()
    for response in (answer(412), answer(204), answer(500)):
        validators.learn(patch('"1"'), response)
    assert validators.are_honoured


def test_an_origin_that_refuses_its_own_tags_time_after_time_never_matches() -> None:
    validators = Validators()
    for _ in range(ENOUGH):
        assert not validators.never_match
        validators.refuses_its_own()
    assert validators.never_match


def test_one_match_is_proof_against_any_number_of_refusals() -> None:
    validators = Validators()
    validators.learn(patch('"1"'), answer(204))
    for _ in range(2 * ENOUGH):
        validators.refuses_its_own()
    assert (validators.are_proven, validators.never_match) == (True, False)


def test_a_change_without_a_condition_proves_no_match() -> None:
    validators = Validators()
    validators.learn(patch(), answer(204, '"1"'))
    validators.learn(patch('"1"'), answer(412))
    assert not validators.are_proven
