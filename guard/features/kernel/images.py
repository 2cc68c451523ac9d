"""Machine code kept on disk, for this process and later ones."""

from __future__ import annotations

import os
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SCREENS", "read", "write"]

SCREENS: Final = "screens"
"""The folder of screens; of those only the youngest are kept."""

_DIGEST: Final = 16
_KEPT_MAX: Final = 64


def read(path: Path) -> bytes | None:
    """Return what `write` wrote; None where it is not there or was cut off."""
    try:
        kept = path.read_bytes()
    except OSError:
        return None
    told, image = kept[:_DIGEST], kept[_DIGEST:]
    return image if told == blake2b(image, digest_size=_DIGEST).digest() else None


def write(path: Path, image: bytes) -> None:
    """Keep an image; where that fails it is made again next time. Of those in a folder of screens the oldest go."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_bytes(blake2b(image, digest_size=_DIGEST).digest() + image)
        draft.replace(path)
        if path.parent.name == SCREENS:
            for old in sorted(path.parent.iterdir(), key=lambda each: each.stat().st_mtime)[:-_KEPT_MAX]:
                old.unlink(missing_ok=True)
    except OSError:
        return
