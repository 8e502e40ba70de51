"""JSON objects of which two readers cannot disagree (RFC 8259): metadata, keys."""

from __future__ import annotations

import json
from typing import NoReturn


def object_in(octets: bytes) -> dict[str, object]:
    """The members of the JSON object in UTF-8 that the octets are.

    ValueError says why they are none, or none that can be relied on, and quotes nothing of them: names given twice,
    NaN and Infinity, nesting deeper than the interpreter follows.
    """
    try:
        value = _decoder.decode(octets.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"octet {error.start + 1} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON from line {error.lineno}, column {error.colno} on") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    return value


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a name is given twice in one object")
    return members


def _no_number(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are no JSON")


_decoder = json.JSONDecoder(object_pairs_hook=_without_repeats, parse_constant=_no_number)
