"""Which span of one run is which span of another."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guard.runtime.spans import Span

__all__ = ["Match", "matched"]

_FOREVER_US = 1 << 62


class Match(NamedTuple):
    """The same thing under both rule sets; None where only one has it.

    `is_part` says of such a single one that the other rule set has a span there too, which goes with another one: one episode
    became two, or two became one.
    """

    old: Span | None
    new: Span | None
    is_part: bool = False

    @property
    def either(self) -> Span:
        """The new one, else the old one."""
        span = self.new if self.new is not None else self.old
        assert span is not None
        return span

    @property
    def start_shift_us(self) -> int:
        """How much later it begins under the new rules; 0 where it is single."""
        return 0 if self.old is None or self.new is None else self.new.start_us - self.old.start_us

    @property
    def end_shift_us(self) -> int | None:
        """How much later it ends; None where only one of both ends on the tape."""
        if self.old is None or self.new is None or self.old.end_us == self.new.end_us:
            return 0
        return None if self.old.end_us is None or self.new.end_us is None else self.new.end_us - self.old.end_us

    @property
    def has_other_level(self) -> bool:
        """Whether both have it, at different levels."""
        return self.old is not None and self.new is not None and self.old.level is not self.new.level

    @property
    def is_same(self) -> bool:
        """Whether both rule sets have it, with the same times and level."""
        one, two = self.old, self.new
        return one is not None and two is not None and one._replace(quarantine="") == two._replace(quarantine="")


def matched(old: Sequence[Span], new: Sequence[Span], *, within_us: int) -> list[Match]:
    """Return all spans of both, matched, by time.

    Two are the same where rule and place are the same and they overlap, or begin within `within_us` of each other. Matches keep the
    order; of several that fit, the one that begins nearest is taken.

    Examples
    --------
    >>> from guard.model import Level
    >>> from guard.runtime.spans import Span
    >>> before, after = Span("r", "m", 10, 20, Level.DANGER), Span("r", "m", 7, 20, Level.DANGER)
    >>> [match.start_shift_us for match in matched([before], [after], within_us=0)]
    [-3]
    """
    groups: dict[tuple[str, str], tuple[list[Span], list[Span]]] = defaultdict(lambda: ([], []))
    for side, spans in enumerate((old, new)):
        for span in spans:
            groups[span.rule, span.place][side].append(span)
    matches = [match for before, after in groups.values() for match in _matches(before, after, within_us)]
    return sorted(matches, key=lambda match: (match.either.start_us, match.either.rule, match.either.place))


def _matches(old: Sequence[Span], new: Sequence[Span], within_us: int) -> Iterator[Match]:
    at, to = 0, 0
    while at < len(old) and to < len(new):
        one, two = old[at], new[to]
        if not _fits(one, two, within_us):
            if one.start_us < two.start_us:
                yield Match(one, None, is_part=_is_part(one, new, to))
                at += 1
            else:
                yield Match(None, two, is_part=_is_part(two, old, at))
                to += 1
        elif to + 1 < len(new) and _is_nearer(one, new[to + 1], two, within_us):
            yield Match(None, two, is_part=_overlaps(one, two))
            to += 1
        elif at + 1 < len(old) and _is_nearer(two, old[at + 1], one, within_us):
            yield Match(one, None, is_part=_overlaps(one, two))
            at += 1
        else:
            yield Match(one, two)
            at, to = at + 1, to + 1
    for number in range(at, len(old)):
        yield Match(old[number], None, is_part=_is_part(old[number], new, len(new)))
    for number in range(to, len(new)):
        yield Match(None, new[number], is_part=_is_part(new[number], old, len(old)))


def _end_us(span: Span) -> int:
    return _FOREVER_US if span.end_us is None else span.end_us


def _overlaps(one: Span, two: Span) -> bool:
    return one.start_us < _end_us(two) and two.start_us < _end_us(one)


def _fits(one: Span, two: Span, within_us: int) -> bool:
    return one.start_us == two.start_us or abs(one.start_us - two.start_us) <= within_us or _overlaps(one, two)


def _is_nearer(span: Span, other: Span, than: Span, within_us: int) -> bool:
    """Whether `other` fits `span` and begins nearer to it than `than`."""
    return _fits(span, other, within_us) and abs(span.start_us - other.start_us) < abs(span.start_us - than.start_us)


def _is_part(span: Span, others: Sequence[Span], at: int) -> bool:
    """Whether the span of the other side that stands before `at`, or at it, overlaps."""
    return any(_overlaps(span, other) for other in others[max(0, at - 1) : at + 1])
