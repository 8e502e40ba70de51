"""The package keyring, with a backend that keeps everything in memory or fails."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace


class KeyringError(Exception):
    pass


class FakeKeyring(ModuleType):
    """Put in the place of the module. It raises `fault` where that is set, and forgets what it is given if `leaks`."""

    def __init__(self, *, priority: float = 5, fault: Exception | None = None, leaks: bool = False) -> None:
        super().__init__("keyring")
        self.priority = priority
        self.fault = fault
        self.leaks = leaks
        self.kept: dict[tuple[str, str], str] = {}

    def get_keyring(self) -> SimpleNamespace:
        return SimpleNamespace(priority=self.priority)

    def get_password(self, service: str, user: str) -> str | None:
        if self.fault is not None:
            raise self.fault
        return self.kept.get((service, user))

    def set_password(self, service: str, user: str, password: str) -> None:
        if self.fault is not None:
            raise self.fault
        if not self.leaks:
            self.kept[service, user] = password
