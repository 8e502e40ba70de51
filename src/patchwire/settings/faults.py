"""What msgspec found wrong, as a key and a remedy for a person."""

from __future__ import annotations

import re

import msgspec

_at_path = re.compile(r"(.*?)(?: - at `(?:key in )?\$\.?(.*)`)?", re.DOTALL).fullmatch
_named = re.compile(r"Object (contains unknown|missing required) field `(.*)`", re.DOTALL).fullmatch


def fault_of(error: msgspec.ValidationError) -> str:
    """For example "limits.read_timeout: expected `float`, got `str`" or "pasword: unknown key"."""
    match = _at_path(str(error))
    problem, path = (match[1], match[2] or "") if match else (str(error), "")
    named = _named(problem)
    if named is None:
        problem = problem[:1].lower() + problem[1:]
        return f"{path}: {problem}" if path else problem
    key = f"{path}.{named[2]}" if path else named[2]
    if named[1] == "contains unknown":
        return f"{key}: unknown key; remove it, or correct its spelling"
    return f"{key}: missing"
