"""Tokens of OAuth 2.0 on the disk, encrypted: what a later run may use, and nobody else.

An entry is a version, a nonce, and its content under AES-GCM with 256 bits, which also vouches for the entry's name:
one cannot be put in the place of another.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from patchwire.errors import StorageError, UnreadableTokenError
from patchwire.files.lock import FileLock, LockedError
from patchwire.files.private import fault, is_safe, make_directory, remove_leftovers, replace
from patchwire.files.regular import open_regular
from patchwire.files.sync import sync_directory
from patchwire.files.token_key import ENTRY, find_key, find_or_make_key

STATE: Final = "PATCHWIRE_STATE"
"""The environment variable that names the directory for state."""
VERSION: Final = b"\x01"
RETRIES: Final = (0.2, 0.8, 2.0)
"""Seconds between tries to write what will not be given again."""
NONCE: Final = 12
TAG: Final = 16
MAX_CONTENT: Final = 1 << 20
"""Octets of an entry's content; no token needs as many."""
MAX_SEALED: Final = len(VERSION) + NONCE + MAX_CONTENT + TAG


def token_directory() -> Path:
    """Where tokens are kept: in the directory that PATCHWIRE_STATE names, else where the system keeps state."""
    named = os.environ.get(STATE)
    if named:
        return Path(named) / "tokens"
    import platformdirs  # takes 20 ms, and only who has tokens to keep needs it

    return platformdirs.user_state_path("patchwire", appauthor=False) / "tokens"


class TokenStore:
    """The entry for what `name` says it is of, any text. Safe to use from several threads and processes.

    StorageError, from all that it does, names the file and what to do about it.
    """

    def __init__(self, name: str, directory: Path | None = None) -> None:
        self._directory = token_directory() if directory is None else directory
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        self.path = self._directory / f"{digest[:32]}{ENTRY}"
        self._lock: FileLock | None = None
        self._key: bytes | None = None

    def read(self) -> bytes | None:
        """The content; None where there is no entry. UnreadableTokenError: damaged, or written with another key."""
        sealed = self._read_sealed() if is_safe(self._directory) else None
        if sealed is None:
            return None
        if not sealed.startswith(VERSION):
            raise self._unreadable("damaged, or written by a newer patchwire")
        key = find_key(self._directory)
        if key is None:
            raise self._unreadable("the key that it was written with is gone")
        content = _unseal(key, sealed, self.path.name)
        if content is None:
            raise self._unreadable("damaged, or written with another key")
        return content

    def prepare(self) -> None:
        """Make the directory, and find or make the key, which serves until `unlock`; a keyring may ask its user."""
        make_directory(self._directory)
        self._key = find_or_make_key(self._directory)

    def write(self, content: bytes, *, patiently: bool = False) -> None:
        """Replace the entry; it is on the disk once this returns. StorageError: it is not, and the former stands;
        `patiently`, after some seconds in which that did not change.
        """
        if len(content) > MAX_CONTENT:
            raise StorageError(f"{self.path}: over 1 MiB is no token; nothing was kept")
        for pause in RETRIES if patiently else ():
            with suppress(StorageError):
                self._replace(content)
                return
            time.sleep(pause)
        self._replace(content)

    def _replace(self, content: bytes) -> None:
        make_directory(self._directory)
        key = find_or_make_key(self._directory) if self._key is None else self._key
        replace(self.path, _seal(key, content, self.path.name))

    def forget(self) -> bool:
        """Remove the entry, and what kills have left of it. Whether there was one."""
        if not is_safe(self._directory):
            return False
        remove_leftovers(self.path, 0)
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise fault(self.path, error) from None
        finally:
            sync_directory(self._directory)
        return True

    def try_lock(self) -> bool:
        """Whether the lock of the entry is ours now: no other TokenStore has it, in no process, until `unlock`."""
        make_directory(self._directory)
        path = self.path.with_suffix(".lock")
        try:
            self._lock = FileLock(path)
        except LockedError:
            return False
        except OSError as error:
            raise fault(path, error) from None
        return True

    def unlock(self) -> None:
        """Let go of the lock, where it is ours."""
        lock, self._lock, self._key = self._lock, None, None
        if lock is not None:
            lock.release()

    def _read_sealed(self) -> bytes | None:
        try:
            with open_regular(self.path) as file:
                return file.read(MAX_SEALED + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise fault(self.path, error) from None

    def _unreadable(self, problem: str) -> UnreadableTokenError:
        return UnreadableTokenError(f"{self.path}: {problem}; patchwire authorize makes a new one")


def _seal(key: bytes, content: bytes, name: str) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # takes 15 ms, which no other command needs

    nonce = os.urandom(NONCE)
    return VERSION + nonce + AESGCM(key).encrypt(nonce, content, name.encode())


def _unseal(key: bytes, sealed: bytes, name: str) -> bytes | None:
    """The content; None where it is not what `_seal` has made with this key and name."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if not len(VERSION) + NONCE + TAG <= len(sealed) <= MAX_SEALED:
        return None
    nonce, encrypted = sealed[len(VERSION) :][:NONCE], sealed[len(VERSION) + NONCE :]
    try:
        return AESGCM(key).decrypt(nonce, encrypted, name.encode())
    except InvalidTag:
        return None
