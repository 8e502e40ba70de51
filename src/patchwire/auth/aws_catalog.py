"""The catalogue of AWS services and regions: the names to sign for, and hints for names that are not there."""

from __future__ import annotations

from functools import cache
from typing import Final, TypeVar

from msgspec import Struct

from patchwire.auth.aws_catalog_data import REGIONS, SERVICES

MAX_COMPARED: Final = 64
"""Characters of an unknown name that are compared with those that are known; the longest label has fewer."""

MAX_NAMED: Final = 3
"""Candidates that a hint names at most."""


class Service(Struct, frozen=True):
    """A service: its name, the name in the credential scope, the first labels of its hosts, and its human name."""

    name: str
    signing_name: str
    endpoint_prefix: str
    label: str


class Region(Struct, frozen=True):
    """A region, its human name, and the partition that it is in."""

    name: str
    label: str
    partition: str


Named = TypeVar("Named", Service, Region)

_SERVICES: Final = {each[0]: each for each in SERVICES}
_REGIONS: Final = {each[0]: each for each in REGIONS}


def service_named(name: str) -> Service | None:
    """The service of exactly this name, or None."""
    return Service(*_SERVICES[name]) if name in _SERVICES else None


def region_named(name: str) -> Region | None:
    """The region of exactly this name, or None."""
    return Region(*_REGIONS[name]) if name in _REGIONS else None


def service_hint(name: str) -> str:
    """Which services may be meant by a name that is not there, as a question; empty where none is near."""
    return _question(_near(name, _service_keys()))


def region_hint(name: str) -> str:
    """Which regions may be meant by a name that is not there, as a question; empty where none is near."""
    return _question(_near(name, _region_keys()))


def _key(text: str) -> str:
    """What is compared: letters and digits, without whose product it is."""
    words = text[:MAX_COMPARED].lower().replace("amazon ", "").replace("aws ", "")
    return "".join(filter(str.isalnum, words))


@cache
def _service_keys() -> dict[str, list[Service]]:
    every = [Service(*each) for each in SERVICES]
    return _keyed(
        # Who says API Gateway may mean to change one, or to call what is deployed on it.
        [*((each.name, each) for each in every), ("API Gateway", Service(*_SERVICES["execute-api"]))],
        [(each.label, each) for each in every],
        [(each.endpoint_prefix, each) for each in every],
        [(each.signing_name, each) for each in every],
    )


@cache
def _region_keys() -> dict[str, list[Region]]:
    """By name, by label, and by the place that stands in the label's parentheses: (US-East) of GovCloud is none."""
    every = [Region(*each) for each in REGIONS]
    places = [(each.label.partition("(")[2], each) for each in every if each.partition != "aws-us-gov"]
    return _keyed(
        [(each.name, each) for each in every],
        [(each.label, each) for each in every],
        [(place, each) for place, each in places if place],
    )


def _keyed(*spelt: list[tuple[str, Named]]) -> dict[str, list[Named]]:
    """What each key stands for; a key that an earlier list has is not added to."""
    keys: dict[str, list[Named]] = {}
    for spellings in spelt:
        new: dict[str, list[Named]] = {}
        for text, each in spellings:
            new.setdefault(_key(text), []).append(each)
        keys = new | keys
    return keys


def _near(name: str, keys: dict[str, list[Named]]) -> list[Named]:
    """Those whose key is that of the name, or else those that are nearly as near as the nearest."""
    from difflib import SequenceMatcher, get_close_matches  # half of what this module would cost to load

    key = _key(name)
    spellings = [key] if key in keys else get_close_matches(key, keys, n=3 * MAX_NAMED, cutoff=0.75)
    ratios = {spelling: SequenceMatcher(None, spelling, key).ratio() for spelling in spellings}
    least = max(ratios.values(), default=0) - 0.05
    near = [(-ratio, each) for spelling, ratio in ratios.items() if ratio > least for each in keys[spelling]]
    near.sort(key=lambda entry: (entry[0], len(entry[1].name), entry[1].name))
    return list({each.name: each for _, each in near}.values())[:MAX_NAMED]


def _question(candidates: list[Named]) -> str:
    if not candidates:
        return ""
    *others, last = [f"{each.name} ({each.label})" for each in candidates]
    return f"did you mean {', '.join(others)}{' or ' if others else ''}{last}?"
