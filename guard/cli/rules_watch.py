"""``guard rules check --watch``: the check again, each time a file changes."""

from __future__ import annotations

import asyncio
import glob
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from guard.cli.output import Exit, leave_quietly
from guard.cli.problems import problem_rows, show_problems
from guard.cli.rules_check import exit_of, find_problems

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from guard.cli.output import Output
    from guard.dsl.includes import Include
    from guard.model.ports import Clock
    from guard.runtime.rule_files import Stamp

__all__ = ["fingerprint", "follow", "watch_files"]

_LOOK_S: Final = 0.5
_FILES_MAX: Final = 2000
_CLEAR: Final = "\x1b[2J\x1b[H"

Marks = tuple["Stamp", ...]


def watch_files(output: Output, paths: Sequence[Path], *, is_strict: bool) -> Exit:
    """Check now and after each change until Ctrl-C; returns the exit code of the last check."""
    from guard.runtime.clock import SystemClock

    last = [Exit.OK]
    try:
        asyncio.run(follow(output, paths, SystemClock(), last, is_strict=is_strict, env=os.environ))
    except KeyboardInterrupt:
        print(file=sys.stderr)
    except BrokenPipeError:
        leave_quietly()
    return last[0]


async def follow(
    output: Output, paths: Sequence[Path], clock: Clock, last: list[Exit], *, is_strict: bool, env: Mapping[str, str]
) -> None:
    """Check now and after each change, until cancelled; `last` holds the exit code of the last check.

    Files are looked at twice a second: that sees changes in mounted folders too, of which the system tells nobody.
    """
    from guard.dsl.loading import includes_of

    includes: Collection[Include] = ()
    seen: Marks | None = None
    while True:
        marks = fingerprint(paths, includes)
        if marks != seen:
            includes = includes_of(paths, env=env)
            now = {stamp.name: stamp for stamp in fingerprint(paths, includes)}
            # What changes again before its includes are known is looked at again.
            seen = None if any(now.get(stamp.name, stamp) != stamp for stamp in marks) else tuple(now.values())
            _report(output, paths, clock, last, is_strict=is_strict, env=env)
        await clock.sleep(_LOOK_S)


def _report(
    output: Output, paths: Sequence[Path], clock: Clock, last: list[Exit], *, is_strict: bool, env: Mapping[str, str]
) -> None:
    problems = find_problems(paths, env)
    last[0] = exit_of(problems, is_strict=is_strict)
    at = datetime.fromtimestamp(clock.now_us() / 1e6, UTC)
    if output.is_json:
        output.line({"schema": 1, "ts": at.isoformat(timespec="seconds"), "errors": problem_rows(problems), "exit": int(last[0])})
        return
    if sys.stdout.isatty():
        print(_CLEAR, end="")
    output.text(f"{at.astimezone(UTC):%H:%M:%SZ}")
    show_problems(output, problems, paths)
    output.text("")
    sys.stdout.flush()


def fingerprint(paths: Sequence[Path], includes: Iterable[Include] = ()) -> Marks:
    """Return what tells whether any file that a check reads has changed, those that others include too."""
    from guard.runtime.rule_files import stamp_of

    names = {name for path in paths for name in _files(path)}
    names.update(name for folder, pattern in includes for name in _found(folder, pattern))
    return tuple(map(stamp_of, sorted(names)[:_FILES_MAX]))


def _files(path: Path) -> Iterator[str]:
    """Yield the files that checking `path` reads, tests beside packs included."""
    if path.is_dir():
        yield from map(str, path.rglob("*.y*ml"))
        return
    yield str(path)
    yield from (str(beside) for beside in path.parent.glob(f"{glob.escape(path.stem)}.test.y*ml"))
    for pattern in _patterns(path):
        yield from _found(path.parent, pattern)


def _found(folder: Path, pattern: str) -> Iterator[str]:
    # pathlib's own glob refuses absolute patterns, and a container mounts its rules outside the folder.
    yield from (str(folder / name) for name in glob.glob(pattern, root_dir=folder, recursive=True))  # noqa: PTH207 - for that reason


def _patterns(path: Path) -> list[str]:
    """Return the patterns of rule files that a guard.yaml names."""
    from guard.dsl.document import Table, plain
    from guard.dsl.problems import Report
    from guard.dsl.reading import read_file

    root = read_file(path, Report())
    named = root.entries.get("rules") if isinstance(root, Table) and "exchanges" in root.entries else None
    found = plain(named.node) if named is not None else []
    return [word for word in (found if isinstance(found, list) else [found]) if isinstance(word, str) and ":" not in word]
