"""The files that rules come from: which there are, and how each stands on the disk."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guard.dsl import GuardConfig
    from guard.dsl.includes import Include

__all__ = ["Stamp", "folders_of", "has_lost", "stamp_of", "stamps_of"]

_TEST_SUFFIXES = (".test.yaml", ".test.yml")
_MAGIC = "*?["


class Stamp(NamedTuple):
    """How a file stands, seen through symbolic links; `error` is the number of the system's error, 0 where there was none.

    Times and size miss a file that was put in place of another with its times; device, inode and time of change do not.
    """

    name: str
    error: int = 0
    size: int = 0
    changed_ns: int = 0
    status_changed_ns: int = 0
    device: int = 0
    inode: int = 0


def stamp_of(path: Path | str) -> Stamp:
    """Return how one file stands now."""
    try:
        found = Path(path).stat()
    except OSError as error:
        # Whatever keeps the file from being read, who reads it will tell of it.
        return Stamp(str(path), error.errno or 1)
    return Stamp(str(path), 0, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_dev, found.st_ino)


def stamps_of(config: GuardConfig, includes: Iterable[Include] = ()) -> tuple[Stamp, ...]:
    """Return how guard.yaml, its packs, what they include and, where a reload needs them, their tests stand now."""
    names = {str(config.path): None}
    for folder, pattern in (*((config.folder, pattern) for pattern in config.rules), *sorted(includes)):
        # pathlib's own glob refuses absolute patterns, and a container mounts its rules outside the folder.
        found = sorted(glob.glob(pattern, root_dir=folder, recursive=True))  # noqa: PTH207 - for that reason
        names.update((str(folder / name), None) for name in found)
    if config.reload.require_tests:
        packs = [Path(name) for name in list(names)[1:] if not name.endswith(_TEST_SUFFIXES)]
        names.update((str(pack.with_name(pack.stem + suffix)), None) for pack in packs for suffix in _TEST_SUFFIXES)
    return tuple(map(stamp_of, names))


def has_lost(before: tuple[Stamp, ...], after: tuple[Stamp, ...]) -> bool:
    """Whether a file is gone or shorter: it may be in the middle of being written anew, and what is there of it may even be valid.

    Examples
    --------
    >>> has_lost((Stamp("a.yaml", size=10),), (Stamp("a.yaml", size=4),)), has_lost((), (Stamp("a.yaml", size=4),))
    (True, False)
    """
    now = {stamp.name: stamp for stamp in after}
    return any(
        stamp.name not in now or now[stamp.name].error or now[stamp.name].size < stamp.size for stamp in before if not stamp.error
    )


def folders_of(config: GuardConfig, includes: Iterable[Include] = ()) -> frozenset[Path]:
    """Return the folders in which something must change for the rules to change, those that are there."""
    folders = {config.folder}
    for start, pattern in (*((config.folder, pattern) for pattern in config.rules), *includes):
        folder = start / pattern
        while any(sign in part for part in folder.parts for sign in _MAGIC) or not folder.is_dir():
            if folder == folder.parent:
                break
            folder = folder.parent
        folders.add(folder)
    return frozenset(folder for folder in folders if folder.is_dir())
