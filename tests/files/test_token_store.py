from __future__ import annotations

import random
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from patchwire.errors import StorageError, UnreadableTokenError
from patchwire.files import token_store
from patchwire.files.token_store import MAX_CONTENT, NONCE, TAG, TokenStore, token_directory
from tests.support.keyrings import FakeKeyring, KeyringError

CANARY = b"canary-3b9f61d2"
AUTHORIZE = r"; patchwire authorize makes a new one$"
PREAMBLE = (
    "import pathlib, sys; sys.modules['keyring'] = None\n"
    "from patchwire.files.token_store import TokenStore\n"
    "store = TokenStore('crm', pathlib.Path(sys.argv[1]))\n"
)


@pytest.fixture(autouse=True)
def _no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


def store_with(content: bytes, directory: Path, name: str = "crm") -> TokenStore:
    store = TokenStore(name, directory)
    store.write(content)
    return store


@pytest.mark.parametrize("content", [b"", CANARY, bytes(range(256)) * 40, bytes(MAX_CONTENT)])
def test_what_was_written_is_read_also_by_another_store(directory: Path, content: bytes) -> None:
    store = store_with(content, directory)
    assert store.read() == TokenStore("crm", directory).read() == content


def test_what_is_written_later_takes_the_place_of_what_was(directory: Path) -> None:
    store = store_with(b"one", directory)
    store.write(b"two")
    assert store.read() == b"two"
    assert sorted(directory.iterdir()) == sorted([store.path, directory / "key"])


def test_where_nothing_was_written_there_is_none_and_nothing_is_made(directory: Path) -> None:
    assert TokenStore("crm", directory).read() is None
    assert not TokenStore("crm", directory).forget()
    assert not directory.exists()
    store_with(b"one", directory)
    assert TokenStore("other", directory).read() is None


@pytest.mark.parametrize(
    "name", ["", "https://crm.example/oauth?a=b", "../x", "Zo\u00eb", "\udcff", "a\0b", "x" * 9000]
)
def test_any_text_names_an_entry_in_the_directory(directory: Path, name: str) -> None:
    store = store_with(b"one", directory, name)
    assert store.path.parent == directory
    assert TokenStore(name, directory).read() == b"one"
    assert TokenStore(name + "x", directory).read() is None


def test_no_file_shows_anything_of_the_content_its_name_or_the_key(directory: Path) -> None:
    store = store_with(CANARY * 3, directory, "canary-name")
    key = (directory / "key").read_bytes()
    assert CANARY not in store.path.read_bytes()
    assert key not in store.path.read_bytes()
    assert not any("canary" in str(path.relative_to(directory)) for path in directory.iterdir())
    assert "canary" not in repr(store)


def test_each_write_encrypts_anew(directory: Path) -> None:
    store = store_with(CANARY, directory)
    first = store.path.read_bytes()
    store.write(CANARY)
    second = store.path.read_bytes()
    assert first[1 : 1 + NONCE] != second[1 : 1 + NONCE]
    assert first[1 + NONCE :] != second[1 + NONCE :]


def test_directory_and_files_are_for_their_owner_alone(directory: Path) -> None:
    store = store_with(CANARY, directory)
    assert store.try_lock()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    files = list(directory.iterdir())
    assert len(files) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    store.unlock()


def test_an_entry_that_is_cut_short_is_damaged(directory: Path) -> None:
    store = store_with(CANARY, directory)
    whole = store.path.read_bytes()
    for size in range(len(whole)):
        store.path.write_bytes(whole[:size])
        with pytest.raises(UnreadableTokenError, match=AUTHORIZE):
            store.read()
    store.path.write_bytes(whole + b"\0")
    with pytest.raises(UnreadableTokenError, match=AUTHORIZE):
        store.read()


def test_an_entry_of_which_a_bit_has_turned_is_damaged(directory: Path) -> None:
    store = store_with(CANARY, directory)
    whole = store.path.read_bytes()
    for bit in range(8 * len(whole)):
        turned = bytearray(whole)
        turned[bit >> 3] ^= 1 << (bit & 7)
        store.path.write_bytes(turned)
        with pytest.raises(UnreadableTokenError) as caught:
            store.read()
        assert caught.match(f"^{store.path}: damaged, or written .*{AUTHORIZE}")
        assert "\n" not in str(caught.value)
    store.write(b"two")
    assert store.read() == b"two"


def test_an_entry_that_is_longer_than_any_is_damaged(directory: Path) -> None:
    store = store_with(CANARY, directory)
    store.path.write_bytes(b"\x01" + bytes(MAX_CONTENT + NONCE + TAG + 1))
    with pytest.raises(UnreadableTokenError, match=AUTHORIZE):
        store.read()


def test_an_entry_in_the_place_of_another_is_refused(directory: Path) -> None:
    crm, erp = store_with(b"crm", directory), store_with(b"erp", directory, "erp")
    crm.path.write_bytes(erp.path.read_bytes())
    with pytest.raises(UnreadableTokenError, match=f"damaged, or written with another key{AUTHORIZE}"):
        crm.read()


def test_an_entry_of_another_key_is_refused_and_can_be_written_anew(directory: Path, tmp_path: Path) -> None:
    store, foreign = store_with(b"ours", directory), store_with(b"theirs", tmp_path / "foreign")
    store.path.write_bytes(foreign.path.read_bytes())
    with pytest.raises(UnreadableTokenError, match=f"damaged, or written with another key{AUTHORIZE}"):
        store.read()
    store.write(b"ours")
    assert store.read() == b"ours"


def test_a_key_in_the_keyring_serves_and_its_loss_is_told(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = FakeKeyring()
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    store = store_with(CANARY, directory)
    assert store.read() == CANARY
    assert list(directory.iterdir()) == [store.path]
    keyring.kept.clear()
    with pytest.raises(UnreadableTokenError, match=f"the key that it was written with is gone{AUTHORIZE}"):
        store.read()
    store.write(b"two")
    assert store.read() == b"two"


def test_a_keyring_that_fails_leaves_the_entry_as_it_is(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = FakeKeyring()
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    store = store_with(CANARY, directory)
    keyring.fault = KeyringError("locked")
    for use in (store.read, lambda: store.write(b"two")):
        with pytest.raises(
            StorageError, match=r"the keyring, which may hold its key, cannot be read \(KeyringError\): unlock it"
        ):
            use()
    keyring.fault = None
    assert store.read() == CANARY


def test_a_full_disk_leaves_the_entry_as_it_was(directory: Path) -> None:
    store = store_with(CANARY, directory)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(StorageError, match=f"^{store.path}: file too large$"):
            store.write(bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert store.read() == CANARY
    assert sorted(directory.iterdir()) == sorted([store.path, directory / "key"])


def test_content_that_could_not_be_read_again_is_not_written(directory: Path) -> None:
    store = store_with(CANARY, directory)
    with pytest.raises(StorageError, match="over 1 MiB is no token; nothing was kept"):
        store.write(bytes(MAX_CONTENT + 1))
    assert store.read() == CANARY


def test_a_kill_at_any_moment_leaves_the_old_or_the_new_entry(directory: Path) -> None:
    content = "bytes([number % 256]) * 20_000"
    program = f"{PREAMBLE}for number in range(100_000):\n    store.write({content})\n    print(number, flush=True)\n"
    moments = random.Random(7)
    store = TokenStore("crm", directory)
    for _ in range(12):
        command = [sys.executable, "-c", program, str(directory)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "0\n"
            time.sleep(moments.uniform(0, 0.02))
            process.send_signal(signal.SIGKILL)
            written = ["0", *process.stdout.read().split()]
        last = int(written[-1])  # a line is whole: a pipe takes it at once
        assert store.read() in [bytes([number % 256]) * 20_000 for number in (last, last + 1)]
    assert store.forget()
    assert list(directory.iterdir()) == [directory / "key"]


def test_what_is_forgotten_is_gone(directory: Path) -> None:
    store = store_with(CANARY, directory)
    (directory / f"{store.path.name}.1.new").write_bytes(b"left by a kill")
    other = store_with(b"erp", directory, "erp")
    assert store.forget()
    assert store.read() is None
    assert not store.forget()
    assert sorted(directory.iterdir()) == sorted([other.path, directory / "key"])


def test_what_is_forgotten_does_not_come_back_after_a_power_cut(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_with(CANARY, directory)
    synced: list[tuple[Path, bool]] = []
    monkeypatch.setattr(token_store, "sync_directory", lambda path: synced.append((path, store.path.exists())))
    store.forget()
    assert synced == [(directory, False)]


def test_what_cannot_be_forgotten_is_told(directory: Path) -> None:
    store = store_with(CANARY, directory)
    store.path.unlink()
    store.path.mkdir()
    with pytest.raises(StorageError, match=f"^{store.path}: "):
        store.forget()


def test_the_lock_is_held_by_one_store_at_a_time(directory: Path) -> None:
    first, second = TokenStore("crm", directory), TokenStore("crm", directory)
    assert first.try_lock()
    assert not second.try_lock()
    assert not first.try_lock()
    assert TokenStore("erp", directory).try_lock()
    first.write(b"one")
    first.unlock()
    assert second.try_lock()
    first.unlock()
    assert not first.try_lock()
    second.unlock()


def test_the_lock_is_held_by_one_thread_at_a_time(directory: Path) -> None:
    counts: list[int] = []

    def count() -> None:
        for _ in range(5):
            store = TokenStore("crm", directory)
            while not store.try_lock():
                pass
            before = int(store.read() or b"0")
            store.write(b"%d" % (before + 1))
            store.unlock()
        counts.append(before)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(counts) == 4
    assert TokenStore("crm", directory).read() == b"20"


def test_the_lock_is_held_by_one_process_and_ends_with_it(directory: Path) -> None:
    program = PREAMBLE + "print(store.try_lock(), flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", program, str(directory)]
    store = TokenStore("crm", directory)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"True\n"
        assert not store.try_lock()
        process.kill()
        process.wait()
        assert store.try_lock()
        store.unlock()


def test_a_link_in_the_place_of_an_entry_or_its_lock_is_refused(directory: Path, tmp_path: Path) -> None:
    store = store_with(CANARY, directory)
    target = tmp_path / "target"
    store.path.rename(target)
    store.path.symlink_to(target)
    with pytest.raises(StorageError, match=f"^{store.path}: is a symbolic link; remove it$"):
        store.read()
    lock = store.path.with_suffix(".lock")
    lock.symlink_to(tmp_path / "nowhere")
    with pytest.raises(StorageError, match=f"^{lock}: is a symbolic link; remove it$"):
        store.try_lock()
    assert not (tmp_path / "nowhere").exists()
    before = target.read_bytes()
    store.write(b"two")
    assert (store.read(), store.path.is_symlink(), target.read_bytes()) == (b"two", False, before)


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_a_directory_that_others_can_change_is_not_used(directory: Path, mode: int) -> None:
    store = store_with(CANARY, directory)
    directory.chmod(mode)
    for use in (store.read, lambda: store.write(b"two"), store.try_lock, store.forget):
        with pytest.raises(StorageError, match=f"^{directory}: others can change what is in it; chmod 700 it$"):
            use()
    directory.chmod(0o700)
    assert store.read() == CANARY


def test_the_environment_names_the_directory_for_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHWIRE_STATE", str(tmp_path))
    assert token_directory() == tmp_path / "tokens"
    assert TokenStore("crm").path.parent == tmp_path / "tokens"


@pytest.mark.parametrize("named", [None, ""])
def test_without_it_the_directory_is_where_the_system_keeps_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str | None
) -> None:
    monkeypatch.delenv("PATCHWIRE_STATE", raising=False)
    if named is not None:
        monkeypatch.setenv("PATCHWIRE_STATE", named)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert token_directory().is_relative_to(tmp_path)
    assert token_directory().parts[-2:] == ("patchwire", "tokens")


def test_to_load_the_store_loads_nothing_that_takes_long() -> None:
    program = (
        f"import sys; before = set(sys.modules); import {token_store.__name__}; loaded = set(sys.modules) - before;"
        " print(sorted(loaded & {'cryptography', 'keyring', 'platformdirs'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
