"""Where things are kept that are made once on this machine: compiled machines, compiled libraries."""

from __future__ import annotations

import os
from pathlib import Path


def folder(part: str) -> Path:
    """Folder `part` of ``$HASTUDY_CACHE``, else of the user's cache folder; it need not exist yet."""
    chosen = os.environ.get("HASTUDY_CACHE")
    base = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hastudy"
    return base / part
