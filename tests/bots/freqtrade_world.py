"""Bots that get the same wishes at the same time, whoever writes the snapshots that they read, and one row for each fault."""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from freqtrade_processes import wait_for

from guard.client.layout import HEADER_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from freqtrade_agent import AgentRun
    from freqtrade_support import Bot, GuardRun


class World:
    """The bots, the guard, the agent if there is one, and the positions that are left to be left.

    `new` and `short` are the quarantined markets that every row wants to enter, long and short; `kept` are positions there that it
    wants to add to.
    """

    def __init__(
        self,
        guard: GuardRun,
        guarded: list[Bot],
        control: Bot,
        leaving: list[str],
        *,
        new: Sequence[str],
        kept: Sequence[str],
        short: Sequence[str] = (),
        agent: AgentRun | None = None,
    ) -> None:
        self.guard, self.agent, self.guarded, self.control = guard, agent, guarded, control
        self.leaving, self.new, self.kept, self.short = leaving, new, kept, short
        self.rows: list[tuple[str, int, int, int, int]] = []

    @property
    def bots(self) -> list[Bot]:
        return [*self.guarded, self.control]

    @property
    def writers(self) -> list[GuardRun | AgentRun]:
        return [self.guard] if self.agent is None else [self.guard, self.agent]

    def live(self) -> None:
        """Have writers that live, whatever the row before did to them."""
        for writer in self.writers:
            if writer.process is None:
                writer.start()

    def row(self, name: str, **more: Any) -> None:
        """Wish for everything on quarantined markets at once, and look at what came of it."""
        leaving = self.leaving.pop()
        new = {*self.new, *self.short}
        before = {bot: bot.last_order() for bot in self.bots}
        for bot in self.bots:
            bot.wish(enter=self.new, short=self.short, add=self.kept, exit=[leaving], **more)
        for bot in self.bots:
            bot.turn(2)
            wait_for(f"{bot.strategy} leaves {leaving} ({name})", lambda bot=bot: leaving in bot.sold(after=before[bot]))
        entered = additions = tried = 0
        for bot in self.guarded:
            bought = bot.bought(after=before[bot])
            tried += len(bot.tried("entry")) + len(bot.tried("add"))
            entered += len(bought & new)
            additions += len(bought - new)
            assert not bought, f"{name}: {bot.strategy} bought {sorted(bought)}"
            assert new <= bot.tried("entry"), f"{name}: no entry was tried"
            assert set(self.kept) <= bot.tried("add"), f"{name}: no addition was tried"
        control = self.control.bought(after=before[self.control])
        assert set(self.kept) <= control, f"{name}: without guard nothing is added, so that the row shows nothing"
        self.rows.append((name, tried, entered, additions, len(self.guarded)))

    def hang_and_die(self) -> None:
        """Let guard hang, go on and be killed, with a row for each."""
        self.guard.tell(signal.SIGSTOP)
        self.row("guard hangs (SIGSTOP)")
        self.guard.tell(signal.SIGCONT)
        self.row("guard goes on (SIGCONT)")
        self.guard.end(signal.SIGKILL)
        self.row("guard killed (SIGKILL)")

    def nothing_opens(self, bot: Bot, enter: Sequence[str], add: Sequence[str] = ()) -> None:
        """Look that free markets are not entered either: guard is dead or out of reach, and that permits nothing in enforce."""
        before = bot.last_order()
        bot.wish(enter=enter, add=add)
        bot.turn(2)
        bought = bot.bought(after=before)
        assert not bought, f"{bot.strategy} bought {sorted(bought)}"
        assert set(enter) <= bot.tried("entry")
        assert set(add) <= bot.tried("add")
        # What is still wished for when guard is back would be entered between two rows.
        bot.wish()
        bot.turn(1)

    def show(self) -> None:
        """Print the rows."""
        for row in self.rows:
            print("{:<54} tried {:>2}  entered {}  added {}  left {}".format(*row))

    @contextmanager
    def spoiled(self) -> Iterator[tuple[list[Path], Callable[[], None]]]:
        """Let the snapshots of writers that hang be spoiled, and mended again; such writers end here."""
        self.live()
        copies = {writer.snapshot: writer.folder / "copy" for writer in self.writers}
        for writer in self.writers:
            writer.tell(signal.SIGSTOP)
        for path, copy in copies.items():
            shutil.copy2(path, copy)

        def mend() -> None:
            for path, copy in copies.items():
                if path.is_dir():
                    path.rmdir()
                path.unlink(missing_ok=True)
                shutil.copy2(copy, path)

        try:
            yield list(copies), mend
        finally:
            mend()
            for writer in self.writers:
                writer.end(signal.SIGKILL)

    def restart_bots(self) -> None:
        """Kill the bots and start them anew; they know nothing of before but what their database has."""
        for bot in self.bots:
            bot.end()
            bot.wish()
        for bot in self.bots:
            bot.launch()
        for bot in self.bots:
            bot.turn(1)


def half_written(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(HEADER_BYTES)
        rest = file.read()
        file.seek(HEADER_BYTES)
        file.write(b"{" * (len(rest) - 100))


def other_version(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(8)
        file.write((99).to_bytes(8, "little"))


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


SPOILS: Final[dict[str, Callable[[Path], object]]] = {
    "snapshot half-written": half_written,
    "snapshot cut to half its header": lambda path: os.truncate(path, HEADER_BYTES // 2),
    "snapshot empty": lambda path: path.write_bytes(b""),
    "snapshot deleted": lambda path: path.unlink(),
    "snapshot of another version": other_version,
    "snapshot of something else": lambda path: path.write_bytes(b"\0" * 100_000),
    "snapshot that cannot be read": as_folder,
}
