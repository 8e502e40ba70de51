"""Sockets, clock and entropy: the thin trio adapter around the pure core. PatchClient is its front door."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patchwire.net.client import PatchClient

__all__ = ["PatchClient"]


def __getattr__(name: str) -> object:
    if name == "PatchClient":
        from patchwire.net.client import PatchClient

        return PatchClient
    raise AttributeError(f"module 'patchwire.net' has no attribute {name!r}")
