"""Extension files: for one environment, other values of the keys that a connection file declares extensible.

All of them are in force at once, but for those of OAuth 2.0: they wait until the token that is kept has ended. Under
the client credentials grant they are in force only where "oauth2.access_token" is extensible.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from msgspec import Struct

from patchwire.errors import SettingsError
from patchwire.settings.connection import ConnectionFile

SWITCH: Final = "oauth2.access_token"
_OAUTH2: Final = "oauth2."
_CUSTOM: Final = {"aws.custom_service": "service", "aws.custom_region": "region"}
When = Literal["in force", "after the token", "never"]
"""Behind an override of OAuth 2.0 stands the token that is kept; `never` where the grant lets none through."""


class Overridden(Struct, frozen=True):
    """What a connection says with its overrides, and `when` each of them is in force, by its key."""

    data: dict[str, Any]
    when: dict[str, When]

    def __repr__(self) -> str:
        """Values may be secrets."""
        return f"<Overridden {sorted(self.when)}>"


def override(place: str, data: Mapping[str, Any], extension_place: str, extension: Mapping[str, Any]) -> Overridden:
    """The decoded TOML `data` of a connection with the values of `extension` in place of its own.

    SettingsError names the file and the key: one that is not known, or not extensible, or that has no use.
    """
    extensible = _extensible(place, data)
    values = dict(_leaves(extension))
    for key in values:
        _check_known(extension_place, key)
        if not _is_among(key, extensible):
            allowed = ", ".join(extensible) or "nothing"
            raise SettingsError(
                extension_place, f"{key}: is not extensible; in {place} extensions.extensible has {allowed}"
            )
    when = {key: _when(key, data, extensible) for key in values}
    merged = _copy(data)
    for key, value in values.items():
        if when[key] != "never":
            _put(place, merged, key, value)
    for key, of in _CUSTOM.items():
        if key in values and _get(merged, f"aws.{of}") != "custom":
            raise SettingsError(extension_place, f'{key}: applies only where aws.{of} is "custom", here or in {place}')
    return Overridden(merged, when)


def known_keys() -> tuple[str, ...]:
    """Every key of a connection file that can be overridden; that of a table with names of any kind ends in ".*"."""
    return tuple(_keys(ConnectionFile, ""))


def check_extensible(place: str, extensible: tuple[str, ...]) -> None:
    """SettingsError where one is no key of a connection file."""
    for key in extensible:
        _check_known(place, key, "extensions.extensible: ")


def _extensible(place: str, data: Mapping[str, Any]) -> tuple[str, ...]:
    table = data.get("extensions")
    listed = table.get("extensible", ()) if isinstance(table, Mapping) else ()
    extensible = tuple(each for each in listed if isinstance(each, str)) if isinstance(listed, list) else ()
    check_extensible(place, extensible)
    return extensible


def _keys(struct: type[Struct], prefix: str) -> Iterator[str]:
    for name, kind in get_type_hints(struct).items():
        inner = next(
            (each for each in (kind, *get_args(kind)) if isinstance(each, type) and issubclass(each, Struct)), None
        )
        if prefix + name == "extensions":
            continue
        if inner is not None:
            yield from _keys(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}.*" if get_origin(kind) is dict else prefix + name


def _check_known(place: str, key: str, before: str = "") -> None:
    known = known_keys()
    if not _is_among(key, known) and f"{key}.*" not in known:
        raise SettingsError(place, f"{before}{key!r} is no key that can be overridden; known are {', '.join(known)}")


def _is_among(key: str, names: tuple[str, ...]) -> bool:
    """Whether the key is one of the names, or in a table of any names that is."""
    table = key.rpartition(".")[0]
    return key in names or any(name in names for name in (f"{table}.*", table) if f"{table}.*" in known_keys())


def _when(key: str, data: Mapping[str, Any], extensible: tuple[str, ...]) -> When:
    if not key.startswith(_OAUTH2):
        return "in force"
    if _get(data, "oauth2.grant_type") == "client_credentials" and SWITCH not in extensible:
        return "never"
    return "after the token"


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _copy(table: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _copy(value) if isinstance(value, Mapping) else value for name, value in table.items()}


def _get(table: Mapping[str, Any], key: str) -> object:
    found: object = table
    for name in key.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _put(place: str, table: dict[str, Any], key: str, value: object) -> None:
    *tables, last = key.split(".")
    for name in tables:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise SettingsError(place, f"{name}: expected a table")
    table[last] = value
