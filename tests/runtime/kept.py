"""A kernel whose markets can be copied one by one: the real one, or today's with its rows as two sections."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any
from zlib import crc32

from guard.errors import StateError
from guard.features.kernel import Kernel
from guard.runtime.keeper import Rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guard.features.tables import Leaf


class RowKernel(Kernel):
    """Keeps a market's rows as they are, under names that tell their length."""

    layout_version = 1

    def version(self, row: int) -> int:
        return crc32(b"".join(content for _, content in self.sections(row)))

    def sections(self, row: int) -> list[tuple[str, bytes]]:
        floats, integers = array("d", self._floats[row]), array("q", self._integers[row])
        return [(f"floats:{len(floats)}", floats.tobytes()), (f"integers:{len(integers)}", integers.tobytes())]

    def take(self, row: int, sections: Mapping[str, bytes]) -> None:
        x, i = self._layout.blank()
        floats, integers = sections.get(f"floats:{len(x)}"), sections.get(f"integers:{len(i)}")
        if floats is not None and integers is not None:
            if len(floats) != 8 * len(x) or len(integers) != 8 * len(i):
                raise StateError("a section has the wrong size")
            x, i = array("d", floats).tolist(), array("q", integers).tolist()
        self._floats[row], self._integers[row] = x, i


def kept_kernel(leaves: Sequence[Leaf]) -> Any:  # noqa: ANN401 - the kernel and what it can do besides
    kernel = Kernel(leaves)
    return kernel if isinstance(kernel, Rows) else RowKernel(leaves)
