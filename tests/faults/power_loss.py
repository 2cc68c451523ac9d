"""Simulated power loss: what the disk may hold when the machine stops, made from every write and sync of the script.

The script runs once under strace. From its calls any number of states is made: it stops after some call; of each file's writes that
no sync had covered, any 512-byte sectors are on the disk; of the folder's changes that no sync had covered, the first so many. The
ledger of each state is opened as guard opens it, and must have every step that was acknowledged by then.

`make power-loss` takes 2,000 states, and as a control the same of a ledger with ``synchronous = NORMAL``, which must lose some.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from faults.ledger_points import STRACE, script, standing, steps_of

from guard.errors import StateError
from guard.runtime.clock import seeded_random

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.model.ports import Random

_SECTOR = 512
_CALLS = "openat,pwrite64,write,ftruncate,fdatasync,fsync,rename,unlink"
_HEAD = re.compile(r"(\d+)\s+(?:<\.\.\. \w+ resumed>)?(.*)", re.DOTALL)
_FILE = re.compile(r"^\w+\((?:AT_FDCWD<[^>]*>|\d+<([^>]*)>)?")
_STRINGS = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_NAMED = {"pwrite64", "write", "openat", "rename", "unlink"}
_SURVIVAL = (0.0, 0.3, 0.5, 0.7, 1.0)


class Event(NamedTuple):
    """One call: its name, the file it is about, its bytes or second name, and where."""

    call: str
    path: str
    data: bytes
    at: int


class Inode:
    """A file: what is on the disk for certain, and what is written and not synced, in order."""

    def __init__(self) -> None:
        self.durable = bytearray()
        self.pending: list[tuple[int, bytes | None]] = []

    def sync(self) -> None:
        for at, data in self.pending:
            _apply(self.durable, at, data)
        self.pending.clear()

    def after_loss(self, chance: Random, share: float) -> bytes:
        content = bytearray(self.durable)
        for at, data in self.pending:
            if data is None:
                if chance.random() < share:
                    _apply(content, at, None)
                continue
            for start in range(0, len(data), _SECTOR):
                if chance.random() < share:
                    _apply(content, at + start, data[start : start + _SECTOR])
        return bytes(content)


def _apply(content: bytearray, at: int, data: bytes | None) -> None:
    end = at if data is None else at + len(data)
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    if data is None:
        del content[at:]
    else:
        content[at:end] = data


class Disk:
    """Files by name; changes of names are durable up to the folder's last sync, beyond it in their order."""

    def __init__(self) -> None:
        self.names: dict[str, Inode] = {}
        self.durable_names: dict[str, Inode] = {}
        self.changes: list[tuple[str, Inode | None]] = []

    def take(self, event: Event) -> None:
        match event.call:
            case "openat":
                if event.path not in self.names:
                    self._name(event.path, Inode())
            case "pwrite64":
                self.names[event.path].pending.append((event.at, event.data))
            case "ftruncate":
                self.names[event.path].pending.append((event.at, None))
            case "fdatasync" | "fsync" if event.path in self.names:
                self.names[event.path].sync()
            case "fsync":
                self.durable_names = dict(self.names)
                self.changes.clear()
            case "rename" if event.path in self.names:
                moved = self.names[event.path]
                self._name(event.path, None)
                self._name(event.data.decode(), moved)
            case "unlink" if event.path in self.names:
                self._name(event.path, None)
            case _:
                pass

    def _name(self, path: str, inode: Inode | None) -> None:
        if inode is None:
            del self.names[path]
        else:
            self.names[path] = inode
        self.changes.append((path, inode))

    def after_loss(self, chance: Random) -> dict[str, bytes]:
        names = dict(self.durable_names)
        kept = int(chance.random() * (len(self.changes) + 1))
        for path, inode in self.changes[:kept]:
            if inode is None:
                names.pop(path, None)
            else:
                names[path] = inode
        share = _SURVIVAL[int(chance.random() * len(_SURVIVAL))]
        return {path: inode.after_loss(chance, share) for path, inode in names.items()}


def memory() -> str | None:
    """Return a folder that is no disk, where there is one: states are laid out by the thousand."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a folder of its own is made in it


def recorded(folder: Path, synchronous: str) -> tuple[list[Event], str]:
    """Run the script once and return its calls about the ledger, and about stdout."""
    log, state = folder / "calls", folder / "state"
    tracing = [*STRACE, "-y", "-xx", "-s", "9000", "-o", str(log), "-e", f"trace={_CALLS}"]
    found = script(state, tracing=tracing, synchronous=synchronous)
    assert found.returncode == 0, found.stderr
    return list(_events(log, str(state))), str(state / "ledger.sqlite")


def _events(log: Path, state: str) -> Iterator[Event]:
    begun: dict[str, str] = {}
    for line in log.read_text(encoding="ascii").splitlines():
        thread, _, text = line.partition(" ")
        text = text.strip()
        if text.endswith("<unfinished ...>"):
            begun[thread] = text.removesuffix("<unfinished ...>")
            continue
        if text.startswith("<... "):
            text = begun.pop(thread) + text.partition("resumed>")[2]
        event = _event(text, state)
        if event is not None:
            yield event


def _event(text: str, state: str) -> Event | None:
    call = text.partition("(")[0]
    strings = [bytes.fromhex(found.replace("\\x", "")) for found in _STRINGS.findall(text)]
    if text.rpartition(" = ")[2].startswith("-1") or (not strings and call in _NAMED):
        return None
    file = _FILE.match(text)
    path = "" if file is None or file[1] is None else _plain(file[1])
    numbers = text.rpartition(" = ")[0].rstrip().removesuffix(")").split(", ")
    if call in {"openat", "rename", "unlink"}:
        path = strings[0].decode()
        data = strings[1].decode() if call == "rename" else ""
        is_ours = path.startswith(f"{state}/ledger.sqlite") and not path.endswith("-shm")
        return Event(call, path, data.encode(), 0) if is_ours and (call != "openat" or "O_CREAT" in text) else None
    if call == "write":
        return Event("told", "", strings[0], 0) if text.startswith("write(1<") else None
    if path == state and call in {"fdatasync", "fsync"}:
        return Event("fsync", path, b"", 0)
    if not path.startswith(f"{state}/ledger.sqlite") or path.endswith("-shm"):
        return None
    at = int(numbers[-1]) if call in {"pwrite64", "ftruncate"} else 0
    return Event(call, path, strings[0] if strings else b"", at)


def _plain(text: str) -> str:
    return bytes.fromhex(text.replace("\\x", "")).decode() if text.startswith("\\x") else text


def _lay_out(files: dict[str, bytes], origin: str, folder: Path) -> Path:
    for path, content in files.items():
        (folder / f"ledger.sqlite{path.removeprefix(origin)}").write_bytes(content)
    return folder / "ledger.sqlite"


async def _steps(ledger: Path) -> tuple[int, str]:
    if not ledger.exists():
        return 0, ""
    try:
        steps = steps_of(await standing(ledger))
    except StateError as error:
        return 0, f"refused: {error}"
    return (0, "torn") if steps is None else (steps, "")


def campaign(folder: Path, states: int, *, synchronous: str = "", seed: int = 1) -> list[str]:
    """Return what was wrong in so many states, one line for each bad state."""
    events, origin = recorded(folder, synchronous)
    chance = seeded_random(seed)
    at = sorted(int(chance.random() * (len(events) + 1)) for _ in range(states))
    disk, told, wrong = Disk(), 0, []
    for number in range(len(events) + 1):
        while at and at[0] == number:
            at.pop(0)
            place = Path(tempfile.mkdtemp(dir=folder))
            place.chmod(0o700)
            steps, problem = asyncio.run(_steps(_lay_out(disk.after_loss(chance), origin, place)))
            if problem or steps < told:
                wrong.append(f"after call {number}: {told} steps were acknowledged, {steps} are there {problem}")
            shutil.rmtree(place)
        if number < len(events):
            event = events[number]
            if event.call == "told":
                told = int(event.data)
            else:
                disk.take(event)
    return wrong


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    lost = {}
    for mode in ("", "NORMAL"):
        with tempfile.TemporaryDirectory(dir=memory()) as name:
            lost[mode] = campaign(Path(name), count, synchronous=mode)
        told = "\n  ".join([f"synchronous = {mode or 'FULL'}: {len(lost[mode])} of {count} states are wrong", *lost[mode][:3]])
        sys.stdout.write(f"{told}\n")
    sys.exit(bool(lost[""]) or not lost["NORMAL"])
