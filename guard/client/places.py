"""Where a guard's files are."""

from __future__ import annotations

import os
import shlex
from typing import NamedTuple

from guard.client.layout import FILE_NAME

__all__ = ["Places", "how_to_let_in", "locate"]

SNAPSHOT_FOLDER = "snapshot"
_SUFFIX = ".snapshot"
_PARENTS_MAX = 64


class Places(NamedTuple):
    """The state folder, the two files in it that a bot reads, and the operator's socket. Absolute; nothing needs to exist."""

    state: str
    snapshot: str
    bypass: str
    socket: str


def locate(path: str | os.PathLike[str] | None = None) -> Places:
    """Return the places of the guard at `path`.

    Parameters
    ----------
    path
        A state folder, a snapshot folder mounted on its own, or a snapshot file. None: the environment's ``GUARD_STATE``, else
        ``.guard`` beside the nearest ``guard.yaml`` from the working folder upwards, else ``./.guard``.

    Examples
    --------
    >>> locate("/srv/bot/.guard").snapshot, locate("/srv/bot/.guard/snapshot/guard.snapshot").state
    ('/srv/bot/.guard/snapshot/guard.snapshot', '/srv/bot/.guard')
    """
    text = os.path.abspath(os.path.expanduser(os.fspath(path) if path is not None else _default()))
    if text.endswith(_SUFFIX) or os.path.isfile(text):
        return _of_snapshot(text)
    mounted = os.path.join(text, FILE_NAME)
    if os.path.basename(text) == SNAPSHOT_FOLDER or os.path.isfile(mounted):
        return _of_snapshot(mounted)
    return _of_state(text, os.path.join(text, SNAPSHOT_FOLDER, FILE_NAME))


def how_to_let_in(path: str) -> str:
    """Return the command by which the owner of a snapshot file that this process may not read lets it in, to be run by a shell.

    A group that the files are for already gets this user; otherwise they are given to this process's own group. What lies above
    them is opened for passing alone.
    """
    folder = os.path.dirname(path)
    state = os.path.dirname(folder) if os.path.basename(folder) == SNAPSHOT_FOLDER else ""
    for each in _way_to(path):
        is_file = each == path
        if os.access(each, os.R_OK if is_file else os.X_OK):
            continue
        status = os.stat(each)
        if status.st_gid and status.st_mode & (0o040 if is_file else 0o010):
            return f'usermod --append --groups {status.st_gid} "$(id -nu {os.geteuid()})"'
        if each not in {state, folder, path}:
            return f"chmod o+x {shlex.quote(each)}"
        parts = [part for part in (state, folder, path) if part and (part != state or each == state)]
        command = f"chgrp {os.getegid()} {' '.join(map(shlex.quote, parts))} && chmod 750 {shlex.quote(folder)}"
        command += f" && chmod 640 {shlex.quote(path)}"
        return command if each != state else f"{command} && chmod 710 {shlex.quote(state)}"
    return "guard status"


def _way_to(path: str) -> list[str]:
    """Return a file and the folders above it, the topmost first."""
    way = [path]
    while (above := os.path.dirname(way[-1])) != way[-1]:
        way.append(above)
    return way[::-1]


def _of_snapshot(snapshot: str) -> Places:
    folder = os.path.dirname(snapshot)
    is_inside = os.path.basename(folder) == SNAPSHOT_FOLDER
    return _of_state(os.path.dirname(folder) if is_inside else folder, snapshot)


def _of_state(state: str, snapshot: str) -> Places:
    return Places(state, snapshot, os.path.join(state, "bypass"), os.path.join(state, "operator.sock"))


def _default() -> str:
    named = os.environ.get("GUARD_STATE")
    if named:
        return named
    folder = os.getcwd()
    for _ in range(_PARENTS_MAX):
        if os.path.isfile(os.path.join(folder, "guard.yaml")):
            return os.path.join(folder, ".guard")
        above = os.path.dirname(folder)
        if above == folder:
            break
        folder = above
    return ".guard"
