"""Test vectors that stand beside the repository, where they do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

_DIRECTORY = Path(__file__).parents[2].parent / "shared" / "vectors"
VECTORS: Path | None = _DIRECTORY if _DIRECTORY.is_dir() else None
needs_vectors = pytest.mark.skipif(VECTORS is None, reason="no ../shared/vectors beside this clone")


def load(relative: str) -> Any:
    """The parsed JSON of a vector file."""
    assert VECTORS is not None
    return json.loads((VECTORS / relative).read_text("utf-8"))
