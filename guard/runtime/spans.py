"""What rules made of a recording: episodes of a level, and stays in quarantine, each with its beginning and end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from guard.errors import OperationRefused
from guard.model import IsolationState, Level
from guard.runtime.blocked import BlockedTime

if TYPE_CHECKING:
    from collections.abc import Collection

    from guard.model import Decision, Transition, Verdict

__all__ = ["SPANS_MAX", "Span", "Spans"]

SPANS_MAX: Final = 200_000


class Span(NamedTuple):
    """A time in which `rule` held `level` on `place`, a market or the target of a quarantine, or held that in quarantine.

    `level` is the highest one of an episode, and that which opened a quarantine. `end_us` is None where the recording ends first.
    `quarantine` is the id of a quarantine; one that is held again in probation has several spans.
    """

    rule: str
    place: str
    start_us: int
    end_us: int | None
    level: Level
    quarantine: str = ""

    def lasted_us(self, now_us: int) -> int:
        """Return how long it lasted, up to `now_us` where it has no end."""
        return (now_us if self.end_us is None else self.end_us) - self.start_us


class Spans:
    """Collects the spans of decisions.

    Parameters
    ----------
    only
        Rules that are looked at; none means all.

    Notes
    -----
    A market that comes back from probation into quarantine begins a new stay. Raises OperationRefused beyond 200,000 spans.
    """

    def __init__(self, only: Collection[str] = ()) -> None:
        self.verdicts: dict[str, int] = {"warning": 0, "danger": 0, "critical": 0}
        self.blocked = BlockedTime()
        self._only = frozenset(only)
        self._episodes: list[Span] = []
        self._stays: list[Span] = []
        self._open_episodes: dict[tuple[str, str], Span] = {}
        self._open_stays: dict[str, Span] = {}

    def take(self, decision: Decision) -> None:
        """Take one decision."""
        for verdict in decision.verdicts:
            if not self._only or verdict.rule in self._only:
                self._judge(verdict)
        for transition in decision.transitions:
            if not self._only or transition.quarantine.hold.rule in self._only:
                self.blocked.take(transition)
                self._move(transition)
        if len(self._episodes) + len(self._stays) > SPANS_MAX:
            raise OperationRefused(f"more than {SPANS_MAX:,} episodes and quarantines: take a shorter tape, or one rule")

    @property
    def episodes(self) -> list[Span]:
        """Episodes by their beginning; those that go on have no end."""
        return sorted([*self._episodes, *self._open_episodes.values()], key=_order)

    @property
    def stays(self) -> list[Span]:
        """Stays in quarantine by their beginning; those that go on have no end."""
        return sorted([*self._stays, *self._open_stays.values()], key=_order)

    @property
    def quarantines(self) -> int:
        """How many quarantines there were."""
        return len({span.quarantine for span in (*self._stays, *self._open_stays.values())})

    def _judge(self, verdict: Verdict) -> None:
        name = (verdict.rule, verdict.subject)
        span = self._open_episodes.pop(name, None)
        if verdict.level is Level.NORMAL:
            if span is not None:
                self._episodes.append(span._replace(end_us=verdict.at_us))
            return
        self.verdicts[str(verdict.level)] += 1
        if span is None:
            span = Span(*name, verdict.at_us, None, verdict.level)
        self._open_episodes[name] = span._replace(level=max(span.level, verdict.level))

    def _move(self, transition: Transition) -> None:
        quarantine = transition.quarantine
        span = self._open_stays.get(quarantine.id)
        if quarantine.state is IsolationState.QUARANTINED:
            if span is None:
                hold = quarantine.hold
                self._open_stays[quarantine.id] = Span(
                    hold.rule, str(quarantine.target), transition.at_us, None, hold.level, quarantine.id
                )
        elif span is not None:
            self._stays.append(self._open_stays.pop(quarantine.id)._replace(end_us=transition.at_us))


def _order(span: Span) -> tuple[int, str, str]:
    return span.start_us, span.rule, span.place
