"""Due times of many keys in one heap."""

from __future__ import annotations

from heapq import heappop, heappush

__all__ = ["Deadlines"]


class Deadlines:
    """At most one due time a key; the earliest comes first, equal ones in order of their keys.

    Examples
    --------
    >>> deadlines = Deadlines()
    >>> deadlines.set(7, 100)
    >>> deadlines.set(7, 50)
    >>> deadlines.next_us, deadlines.pop()
    (50, (50, 7))
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, int]] = []
        self._due: dict[int, int] = {}

    def set(self, key: int, due_us: int | None) -> None:
        """Replace the due time of `key`; None removes it."""
        if due_us is None:
            self._due.pop(key, None)
        elif self._due.get(key) != due_us:
            self._due[key] = due_us
            heappush(self._heap, (due_us, key))
            if len(self._heap) > 4 * len(self._due) + 64:
                self._heap = sorted((due, at) for at, due in self._due.items())

    @property
    def next_us(self) -> int | None:
        """The earliest due time, None where there is none."""
        heap = self._heap
        while heap:
            due_us, key = heap[0]
            if self._due.get(key) == due_us:
                return due_us
            heappop(heap)
        return None

    def get(self, key: int) -> int | None:
        """Return the due time of `key`."""
        return self._due.get(key)

    def pop(self) -> tuple[int, int]:
        """Remove the earliest and return its due time and key. Raises IndexError where there is none."""
        if self.next_us is None:
            raise IndexError("no deadline")
        due_us, key = heappop(self._heap)
        del self._due[key]
        return due_us, key
