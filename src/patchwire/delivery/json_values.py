"""JSON texts as values, read so strictly that two readers cannot disagree about one (RFC 8259)."""

from __future__ import annotations

import json
from enum import Enum
from typing import NoReturn, TypeAlias

import msgspec

from patchwire.errors import PatchwireError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
"""A JSON value as Python holds it."""


class Fault(Enum):
    """Why content was refused."""

    MALFORMED = "malformed"
    """It is no JSON, or no patch, whatever document it meets."""
    NOT_APPLICABLE = "not applicable"
    """It is a patch, and this document has no place for it."""
    TEST_FAILED = "test failed"
    """A `test` operation found something else."""


class ContentRefusedError(PatchwireError):
    """A body was refused. `operation` is the index of the JSON Patch operation at fault, or None."""

    def __init__(self, fault: Fault, detail: str, operation: int | None = None) -> None:
        super().__init__(detail if operation is None else f"operation {operation}: {detail}")
        self.fault = fault
        self.operation = operation


def parse_json(body: bytes) -> Json:
    """The value of a JSON text in UTF-8 (RFC 8259).

    Raises ContentRefusedError, always MALFORMED, also for what the RFC leaves to the recipient: names given twice,
    numbers beyond double precision, unpaired surrogates, nesting deeper than the interpreter follows.
    """
    try:
        value: Json = _decoder.decode(body.decode("utf-8"))
        if b"\\u" in body:
            msgspec.json.encode(value)  # only an escape can smuggle in an unpaired surrogate
    except UnicodeDecodeError as error:
        raise ContentRefusedError(Fault.MALFORMED, f"octet {error.start + 1} is not UTF-8") from None
    except UnicodeEncodeError:
        raise ContentRefusedError(Fault.MALFORMED, "a string holds an unpaired surrogate") from None
    except ValueError as error:
        raise ContentRefusedError(Fault.MALFORMED, f"no JSON: {error}") from None
    except RecursionError:
        raise ContentRefusedError(Fault.MALFORMED, "nested too deeply") from None
    return value


def equal(left: Json, right: Json) -> bool:
    """Whether two values are equal as RFC 6902 section 4.6 means it: 1 equals 1.0, and neither equals true."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(left[name], right[name]) for name in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    return left == right


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


def _finite(number: str) -> float:
    value = float(number)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{number[:40]} is beyond double precision")
    return value


def _distinct(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("an object names a member twice")
    return members


_decoder = json.JSONDecoder(object_pairs_hook=_distinct, parse_constant=_refuse_constant, parse_float=_finite)
