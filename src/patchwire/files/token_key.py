"""The key that the tokens of a directory are encrypted with: in a file beside them, or in the keyring.

A key file comes first: it is there only where its maker found no keyring. A new key is made only where that makes no
token unreadable.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from patchwire.errors import StorageError, UnreadableTokenError
from patchwire.files.lock import FileLock, LockedError
from patchwire.files.private import belongs_to_us, fault, remove_leftovers, replace
from patchwire.files.regular import open_regular

SIZE: Final = 32
"""Octets of a key, for AES with 256 bits."""
ENTRY: Final = ".token"
"""What the names of entries end in."""
PATIENCE: Final = 30.0
"""Seconds to wait for another process that is making the key: a keyring may ask its user for a password meanwhile."""

_FILE: Final = "key"
_SERVICE: Final = "patchwire"
_USER: Final = "token store"


class _NoKeyringError(StorageError):
    """No keyring says whether it holds the key."""


class _NoBackendError(Exception):
    """There is nothing here that a key could be kept in; the text says of the keyring why, and the remedy."""


def find_key(directory: Path) -> bytes | None:
    """The key to the tokens in `directory`; None where it has no key file, and the keyring holds none.

    StorageError: the key file is not ours alone, or there is none and the keyring cannot be asked.
    UnreadableTokenError: what is kept as a key is none.
    """
    return _from_file(directory / _FILE) or _from_keyring(directory)


def find_or_make_key(directory: Path) -> bytes:
    """The key to the tokens in `directory`, made where there is none and no token either that needs another.

    Of several processes that ask at once, one makes it. StorageError and UnreadableTokenError as for `find_key`.
    """
    key = _find_needed(directory)
    if key is not None:
        return key
    with _alone(directory / f"{_FILE}.lock"):
        return _find_needed(directory) or _make_key(directory / _FILE)


def _find_needed(directory: Path) -> bytes | None:
    try:
        return find_key(directory)
    except _NoKeyringError:
        # With a new key in its place, the one that a keyring may hold would not be looked for any more.
        if _holds_entries(directory):
            raise
        return None


def _holds_entries(directory: Path) -> bool:
    try:
        return any(path.suffix == ENTRY for path in directory.iterdir())
    except OSError as error:
        raise fault(directory, error) from None


def _from_file(path: Path) -> bytes | None:
    try:
        with open_regular(path) as file:
            _refuse_exposed(path, os.fstat(file.fileno()))
            key = file.read(SIZE + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise fault(path, error) from None
    if len(key) != SIZE:
        raise UnreadableTokenError(
            f"{path}: is damaged: a key has {SIZE} octets; restore it from a copy, or remove its directory and run"
            " patchwire authorize again"
        )
    return key


def _refuse_exposed(path: Path, status: os.stat_result) -> None:
    if not belongs_to_us(status):
        raise StorageError(f"{path}: belongs to another user; remove it and run patchwire authorize again")
    if sys.platform != "win32" and status.st_mode & 0o077:
        raise StorageError(f"{path}: others may read it, which is the key to all tokens; chmod 600 it")


def _from_keyring(directory: Path) -> bytes | None:
    try:
        text = _working_keyring().get_password(_SERVICE, _USER)
    except _NoBackendError as error:
        raise _no_keyring(directory, str(error)) from None
    except Exception as error:  # a backend is a plug-in, and lets through what its service raises
        raise _no_keyring(directory, f"cannot be read ({type(error).__name__}): unlock it") from None
    return None if text is None else _decode(text)


def _no_keyring(directory: Path, problem: str) -> _NoKeyringError:
    return _NoKeyringError(
        f"{directory}: has no key file, and the keyring, which may hold its key, {problem}, or remove the directory"
        " and run patchwire authorize again"
    )


def _decode(text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != SIZE:
        raise UnreadableTokenError(
            f'what the keyring holds for service "{_SERVICE}", user "{_USER}" is no key; remove it and run'
            " patchwire authorize again"
        )
    return key


def _make_key(path: Path) -> bytes:
    key = os.urandom(SIZE)
    if not _keep_in_keyring(key):
        remove_leftovers(path, 0)  # they are keys that nothing was encrypted with
        replace(path, key)
    return key


def _keep_in_keyring(key: bytes) -> bool:
    """Whether it has it now: what it says it has kept is asked for again."""
    try:
        keyring = _working_keyring()
        keyring.set_password(_SERVICE, _USER, key.hex())
        return bool(keyring.get_password(_SERVICE, _USER) == key.hex())
    except Exception:  # as above; and a file does as well
        return False


def _working_keyring() -> Any:
    """The package keyring, where it has a backend that keeps something; else _NoBackendError, or what it raises."""
    try:
        import keyring  # takes 100 ms, and only who has no key file needs it
    except ImportError:
        raise _NoBackendError("is not installed: pip install 'patchwire[keyring]'") from None
    if keyring.get_keyring().priority <= 0:
        raise _NoBackendError("has no backend that works here: run where it has one")
    return keyring


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    lock = _wait_for(path)
    try:
        yield
    finally:
        lock.release()


def _wait_for(path: Path) -> FileLock:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return FileLock(path)
        except LockedError:
            if time.monotonic() > end:
                raise StorageError(f"{path}: another patchwire is still making the key; try again later") from None
        except OSError as error:
            raise fault(path, error) from None
