"""Rows for the kernel that was built ahead of time: the same source and the same bits, some four times as fast as in Python.

The package `guard_kernel` is made of this one by ``hatch_build.py`` at the root of the project. Where it was made of another source
than stands here, or is not there, nothing is built.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

from guard.features.kernel import drive as loop
from guard.features.kernel.fold import DUE
from guard.features.kernel.machine import ASK, STRIDE, TURNED
from guard.features.kernel.rows import NO_EVENTS, UNOPENED, PlainRows, columns_of
from guard.features.kernel.source import digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.features.kernel.layout import Layout
    from guard.features.kernel.rows import Bound, Screens
    from guard.model.batch import Batch

__all__ = ["BuiltRows", "functions"]

_PACKAGE: Final = "guard_kernel"


@cache
def functions() -> SimpleNamespace | None:
    """Return the kernel's functions as they were built; None where they were not, or of another source."""
    try:
        made_of = import_module(_PACKAGE).DIGEST
        if made_of != digest():
            return None
        drive, fold, leaves = (import_module(f"{_PACKAGE}.{name}") for name in ("drive", "fold", "leaves"))
    except (ImportError, AttributeError):
        return None
    return SimpleNamespace(
        run=drive.run, schedule=drive.schedule, set_due=drive.set_due, fold=fold.fold, take=fold.take, read_all=leaves.read_all
    )


class BuiltRows(PlainRows):
    """Rows as lists, for the built functions; rules are judged by the machine. RuntimeError where nothing is built."""

    needs_screens = False

    def __init__(self) -> None:
        super().__init__()
        built = functions()
        if built is None:
            raise RuntimeError("the kernel was not built of this source")
        self._built = built
        # No market has a screen.
        self._no_screens: list[int] = []
        self.program((), (), 0, 1)

    def plan(self, layout: Layout) -> None:
        """Take another plan into use; the rows must fit it."""
        super().plan(layout)
        self._out = [0.0] * len(layout.leaves)

    def program(self, code: Sequence[int], constants: Sequence[float], registers: int, signatures: int) -> None:  # noqa: ARG002 - of a table elsewhere
        """Take the rules' code."""
        # A market without a program is asked about, as one without a screen is.
        self._code, self._constants = [*(code or [ASK]), *[0] * STRIDE], [*map(float, constants), 0.0]
        self._registers = [0.0] * (registers + 1)

    def add(self, x: list[float], i: list[int]) -> None:
        """Append a market."""
        super().add(x, i)
        self._no_screens.append(0)

    def turned(self) -> list[int]:
        """Return the markets of which a signature was turned."""
        return [row for row, signatures in enumerate(self.S) if any(told >= 0 and told & TURNED for told in signatures)]

    def screen(self, row: int, screens: Screens | None) -> None:
        """Nothing to take: the machine does it."""

    def rebind(self, bound: Bound) -> None:
        """Give all markets other rules, of which nothing is known."""
        super().rebind(bound._replace(screens=None))

    def run(self, batch: Batch | None) -> int:
        """Run the loop over a batch, or over time alone; returns why it stopped."""
        columns = NO_EVENTS if batch is None else columns_of(batch)
        reason: int = self._built.run(
            self.X, self.I, self.S, self._p, self._q, self._code, self._constants, self._registers, self._no_screens, self.control,
            self._dirty, self._heap, *columns,
        )  # fmt: skip
        if reason == loop.UNOPENED:
            raise IndexError(UNOPENED.format(len(self.I)))
        return reason

    def schedule(self, row: int) -> None:
        """Note that a market was evaluated."""
        self._built.schedule(self.I, self.control, self._heap, row)

    def set_due(self, row: int, due: int) -> None:
        """Change when a market is due."""
        self._built.set_due(self.I, self.control, self._heap, row, due)

    def fold(self, batch: Batch, number: int) -> bool:
        """Fold one row of a batch in, outside of the loop."""
        kinds, markets, *others = columns_of(batch)
        if not 0 <= markets[number] < len(self.I):
            raise IndexError(UNOPENED.format(len(self.I)))
        row = (markets[number], kinds[number], *(each[number] for each in others))
        return bool(self._built.fold(self.X, self.I, self._p, self._q, *row) == DUE)

    def take(self, row: int, at: int) -> None:
        """Move a market's time forward."""
        self._built.take(self.X, self.I, self.X[row], self.I[row], self._p, self._q, at)

    def read(self, row: int, received: int) -> list[float]:
        """Return the values of all leaves."""
        self._built.read_all(self.X, self.I, self._p, self._q, row, received, self._out)
        return list(self._out)
