"""The two media types of patches that patchwire knows by heart."""

from __future__ import annotations

from typing import Final

MERGE_PATCH: Final = "application/merge-patch+json"
"""RFC 7396."""
JSON_PATCH: Final = "application/json-patch+json"
"""RFC 6902."""
