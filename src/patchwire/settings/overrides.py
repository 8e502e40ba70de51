"""Extension files: for one environment, other values of the keys that a connection file declares extensible.

All of them are in force at once, but for those of OAuth 2.0: they wait until the token that is kept has ended. Under
the client credentials grant they are in force only where "oauth2.access_token" is extensible.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from msgspec import Struct

from patchwire.errors import SettingsError
from patchwire.settings.connection import parse_connection, secret_references
from patchwire.settings.leftovers import leftovers
from patchwire.settings.oauth2_file import is_over_tls
from patchwire.settings.written import ConnectionFile

SWITCH: Final = "oauth2.access_token"
_OAUTH2: Final = "oauth2."
_CUSTOM: Final = {"aws.custom_service": "service", "aws.custom_region": "region"}
When = Literal["in force", "after the token", "never"]
"""Behind an override of OAuth 2.0 stands the token that is kept; `never` where the grant lets none through."""
Path = tuple[str, ...]
"""The names of the tables that a key is in, and its own."""


class Overridden(Struct, frozen=True):
    """What a connection says with its overrides, and `when` each of them is in force, by its key. `place` names the
    connection file, whose own values `original` holds, and `extension_place` that of the overrides.
    """

    data: dict[str, Any]
    when: dict[str, When]
    original: Mapping[str, Any]
    place: str
    extension_place: str

    def __repr__(self) -> str:
        """Values may be secrets."""
        return f"<Overridden {sorted(self.when)}>"

    def place_of(self, key: str) -> str:
        """The file that the value of a key is from; the key may be that of one of a list, as in "tls.trust[0]"."""
        when = self.when.get(key) or self.when.get(key.partition("[")[0], "never")
        return self.place if when == "never" else self.extension_place

    def value(self, key: str) -> object:
        """What counts of what the files give the key; None where neither does."""
        return _get(self.data, _path(key))

    @contextmanager
    def blaming(self) -> Iterator[None]:
        """A SettingsError that is raised meanwhile names the file whose value is at fault; both, where the fault is in
        what they make together.
        """
        try:
            yield
        except SettingsError as error:
            raise self._blamed(error) from None

    def _blamed(self, error: SettingsError) -> SettingsError:
        place = self.place_of(error.problem.partition(": ")[0])
        if place == self.place and any(when != "never" for when in self.when.values()) and not self._is_alone(error):
            place = f"{self.place} with {self.extension_place}"
        return SettingsError(place, error.problem)

    def _is_alone(self, error: SettingsError) -> bool:
        """Whether the connection has this fault also without its overrides."""
        try:
            secret_references(self.place, parse_connection(self.place, dict(self.original)))
        except SettingsError as alone:
            return alone.problem == error.problem
        return False


def override(place: str, data: Mapping[str, Any], extension_place: str, extension: Mapping[str, Any]) -> Overridden:
    """The decoded TOML `data` of a connection with the values of `extension` in place of its own. What of its own has
    lost its use thereby is left out.

    SettingsError names the file and the key: one that is not known, or not extensible, or that has no use.
    """
    extensible = _extensible(place, data)
    values = _values(extension_place, extension)
    for key in values:
        if not _is_among(key, extensible):
            allowed = ", ".join(extensible) or "nothing"
            raise SettingsError(
                extension_place, f"{key}: is not extensible; in {place} extensions.extensible has {allowed}"
            )
    when = {key: _when(key, data, extensible) for key in values}
    merged = _copy(data)
    for key, value in values.items():
        if when[key] != "never":
            _put(place, merged, _path(key), value)
    useless = leftovers({key: value for key, value in values.items() if when[key] != "never"})
    for key in sorted(useless, key="tls".__eq__):  # last, as [oauth2] or [proxy] may have a use for it
        is_given = any(each == key or each.startswith(f"{key}.") for each in values)
        if not is_given and not (key == "tls" and _asks_over_tls(merged)):
            _drop(merged, key)
    for key, of in _CUSTOM.items():
        if key in values and _get(merged, ("aws", of)) != "custom":
            raise SettingsError(extension_place, f'{key}: applies only where aws.{of} is "custom", here or in {place}')
    return Overridden(merged, when, data, place, extension_place)


@cache
def known_keys() -> tuple[str, ...]:
    """Every key of a connection file that can be overridden; that of a table with names of any kind ends in ".*"."""
    return tuple(_keys(ConnectionFile, ""))


def is_known(key: str) -> bool:
    """Whether it is a key of a connection file that can be overridden."""
    return _known(key) is not None


def check_extensible(place: str, extensible: tuple[str, ...]) -> None:
    """SettingsError where one is no key of a connection file."""
    for key in extensible:
        if not is_known(key):
            raise _unknown(place, key, "extensions.extensible: ")


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


def _unknown(place: str, key: str, before: str = "") -> SettingsError:
    known = ", ".join(known_keys())
    return SettingsError(place, f"{before}{key!r} is no key that can be overridden; known are {known}")


def _known(key: str) -> str | None:
    """Which of the known keys it is: a name of any kind, and what is said of all of them, are those of their table."""
    return next(
        (known for known in known_keys() if key in (known, known.removesuffix(".*")) or _is_in(key, known)), None
    )


def _is_in(key: str, known: str) -> bool:
    return known.endswith(".*") and key.startswith(known[:-1])


def _is_among(key: str, extensible: tuple[str, ...]) -> bool:
    """Whether the key is one of the names, or in a table of any names that is."""
    known = _known(key) or ""
    return key in extensible or (known.endswith(".*") and (known in extensible or known[:-2] in extensible))


def _path(key: str) -> Path:
    """Where a key stands. A name of any kind may hold dots."""
    known = next((known for known in known_keys() if _is_in(key, known)), None)
    return tuple(key.split(".")) if known is None else (*known[:-2].split("."), key[len(known) - 1 :])


def _when(key: str, data: Mapping[str, Any], extensible: tuple[str, ...]) -> When:
    if not key.startswith(_OAUTH2):
        return "in force"
    if _get(data, ("oauth2", "grant_type")) == "client_credentials" and SWITCH not in extensible:
        return "never"
    return "after the token"


def _values(place: str, extension: Mapping[str, Any]) -> dict[str, Any]:
    """What an extension gives, by key. SettingsError where one is not known, or stands where it does not belong."""
    values = {}
    for path, value in _leaves(extension):
        key = ".".join(path)
        if isinstance(value, Mapping) and any(known.startswith(f"{key}.") for known in known_keys()):
            continue
        if isinstance(value, Mapping) or not is_known(key):
            raise _unknown(place, key)
        if _path(key) != path:
            table, name = ".".join(_path(key)[:-1]), _path(key)[-1]
            raise SettingsError(place, f"{key}: expected it in [{table}], as {name!r} and not in parts or in quotes")
        values[key] = value
    return values


def _leaves(table: Mapping[str, Any], tables: Path = ()) -> Iterator[tuple[Path, Any]]:
    """All that is no table, and the tables that hold nothing."""
    for name, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*tables, name))
        else:
            yield (*tables, name), value


def _asks_over_tls(data: Mapping[str, Any]) -> bool:
    """Whether an authorization server or a proxy is asked over https, as it is with the certificates of [tls] too."""
    asked = (("oauth2", "access_token_url"), ("oauth2", "metadata_url"), ("proxy", "url"))
    return is_over_tls(*(_get(data, path) for path in asked)) or _get(data, ("proxy", "environment")) is True


def _copy(table: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _copy(value) if isinstance(value, Mapping) else value for name, value in table.items()}


def _get(table: Mapping[str, Any], path: Path) -> object:
    found: object = table
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _drop(table: dict[str, Any], key: str) -> None:
    *tables, last = key.split(".")
    for name in tables:
        table = table[name]  # the override that leaves no use for the key stands there
    table.pop(last, None)


def _put(place: str, table: dict[str, Any], path: Path, value: object) -> None:
    for depth, name in enumerate(path[:-1], 1):
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise SettingsError(place, f"{'.'.join(path[:depth])}: expected a table")
    table[path[-1]] = value
