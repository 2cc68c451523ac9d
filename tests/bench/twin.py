"""The kernel's state upkeep as C, over rows and a plan that the kernel made."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

from guard.features.kernel import drive, sizes, slots
from guard.model import Flag, Kind

if TYPE_CHECKING:
    from guard.features.kernel import Kernel
    from guard.runtime.bench.workload import Columns

__all__ = ["Twin", "header"]

_FITS = 1 << 31


def header() -> str:
    """Return the constants of the kernel as C."""
    found: dict[str, int] = {
        name: value
        for module in (drive, sizes, slots)
        for name, value in vars(module).items()
        if name.isupper() and not name.startswith("_") and isinstance(value, int)
    }
    found |= {f"KIND_{each.name}": int(each) for each in Kind}
    found |= {f"FLAG_{each.name}": int(each) for each in Flag}
    lines = [f"#define {name} {value if abs(value) < _FITS else f'INT64_C({value})'}" for name, value in sorted(found.items())]
    return "\n".join(["#include <stdint.h>", *lines, ""])


class Twin:
    """The rows of a kernel, which a C library moves on.

    Parameters
    ----------
    library
        `twin.c`, compiled with `header` as ``slots.h``.
    kernel
        Where the rows, the plan and the loop's state are copied from; it is not changed.
    """

    def __init__(self, library: ctypes.CDLL, kernel: Kernel) -> None:
        self._run = library.twin_run
        self._run.restype = ctypes.c_int64
        rows = [kernel._rows.row(row) for row in range(len(kernel))]
        layout = kernel._layout
        self.x = np.array([x for x, _ in rows])
        self.i = np.array([i for _, i in rows], np.int64)
        self._p = np.array(layout.plan, np.int64)
        self._q = np.array(layout.numbers or [0.0])
        self.control = np.array(kernel._rows.control, np.int64)
        self._dirty = np.zeros(len(rows), np.int64)
        waiting = kernel._rows.dirty()
        self._dirty[: len(waiting)] = waiting
        self.control[drive.DIRTY_NEXT], self.control[drive.DIRTY_COUNT] = 0, len(waiting)

    def run(self, columns: Columns) -> int:
        """Take rows and return how many; fewer where one is neither a trade nor a level."""
        arrays: list[Any] = [self._p, self._q, self.control, self._dirty]
        kept = [columns.kind, columns.market, columns.at_us, columns.received_us, columns.price, columns.amount, columns.side]
        return int(
            self._run(
                *(_address(each) for each in (self.x, self.i)),
                *(ctypes.c_int64(each.shape[1]) for each in (self.x, self.i)),
                *(_address(each) for each in arrays),
                ctypes.c_int64(columns.rows),
                *(_address(each) for each in (*kept, columns.flags)),
            )
        )


def _address(array: Any) -> ctypes.c_void_p:  # noqa: ANN401 - an array
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)
