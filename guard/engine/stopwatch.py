"""How long something has held, when part of the time nobody could tell."""

from __future__ import annotations

__all__ = ["Stopwatch"]


class Stopwatch:
    """Time for which a condition has held without being false in between; unknown stretches stop it.

    Examples
    --------
    >>> watch = Stopwatch()
    >>> for at_us, truth in ((0, True), (5, None), (50, True), (55, True)):
    ...     watch.update(at_us, truth=truth)
    >>> watch.elapsed_us
    10
    """

    __slots__ = ("elapsed_us", "truth", "updated_us")

    def __init__(self) -> None:
        self.elapsed_us = 0
        self.updated_us = 0
        self.truth: bool | None = False

    def update(self, at_us: int, *, truth: bool | None) -> None:
        """Tell what is known from `at_us` on; True counts, None stops, False starts anew."""
        if truth is False:
            self.elapsed_us = 0
        elif self.truth is True:
            self.elapsed_us += at_us - self.updated_us
        self.updated_us = at_us
        self.truth = truth

    def has_held(self, for_us: int) -> bool:
        """Whether the condition is true now and has held for `for_us`."""
        return self.truth is True and self.elapsed_us >= for_us

    def due_us(self, for_us: int) -> int | None:
        """Return when it will have held for `for_us` if nothing changes; None where it does not run."""
        return self.updated_us + for_us - self.elapsed_us if self.truth is True else None

    def reset(self) -> None:
        """Start anew."""
        self.elapsed_us = 0
        self.truth = False

    def save(self) -> list[int | bool | None]:
        """Return the state as JSON-able values, the same however often it was told the same."""
        if self.truth is True:
            return [0, self.updated_us - self.elapsed_us, True]
        return [self.elapsed_us, 0, self.truth if self.elapsed_us else False]

    def restore(self, state: list[int | bool | None]) -> None:
        """Take over what `save` returned."""
        elapsed_us, updated_us, truth = state
        self.elapsed_us, self.updated_us = int(elapsed_us or 0), int(updated_us or 0)
        self.truth = truth if truth is None else bool(truth)
