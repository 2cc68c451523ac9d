"""Tells rules and people where an exchange begins to treat a watched market otherwise: halted, to be delisted, specially."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import structlog

from guard.model import Level
from guard.model.moments import stamp
from guard.runtime.whole_file import replace_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from guard.model import Market, MarketFacts

__all__ = ["TreatmentWatch"]

_log = structlog.get_logger(__name__)
_SHOWN_MAX: Final = 15
_KEPT_MAX: Final = 20_000
_TOLD: Final = {
    "delisting": (Level.DANGER, "to be delisted"),
    "halted": (Level.WARNING, "halted"),
    "st": (Level.WARNING, "under special treatment"),
    "monitoring": (Level.WARNING, "under monitoring"),
}
_OVER: Final = {"halted": "trading again", "delisting": "not to be delisted any more"}


class TreatmentWatch:
    """Compares what an exchange says of each watched market with what it said before.

    Parameters
    ----------
    exchange
        Its name in guard.yaml, for messages.
    opened
        Returns the facts that an open market has in the pipeline, None where it is not open.
    treat
        Gives an open market the tags and the listing risk of other facts.
    announce
        Tells people: key, title, body, level.
    kept
        A file that remembers the tags from run to run, a cache: what changed while guard was down is told at the start.

    Notes
    -----
    People are told once of each change, in one message for each kind of it, and only of markets that are watched.
    """

    def __init__(
        self,
        exchange: str,
        *,
        opened: Callable[[Market], MarketFacts | None],
        treat: Callable[[MarketFacts], None],
        announce: Callable[[str, str, str, Level], None],
        now_us: Callable[[], int],
        kept: Path,
    ) -> None:
        self._exchange = exchange
        self._opened = opened
        self._treat = treat
        self._announce = announce
        self._now_us = now_us
        self._kept = kept
        self._tags: dict[str, frozenset[str]] = self._read()
        self._is_told = False

    def __call__(self, offered: Iterable[MarketFacts], watched: Iterable[MarketFacts]) -> None:
        """Take what is offered now; `watched` are those that are looked at."""
        now = {facts.market: facts for facts in offered}
        come: dict[str, list[MarketFacts]] = {}
        gone: dict[str, list[MarketFacts]] = {}
        is_changed = False
        for known in watched:
            facts = now.get(known.market, known)
            self._take_over(facts)
            before = self._tags.get(facts.market.symbol)
            if before == facts.tags:
                continue
            is_changed = True
            self._tags[facts.market.symbol] = facts.tags
            if before is not None:
                for tag in facts.tags - before:
                    come.setdefault(tag, []).append(facts)
                for tag in before - facts.tags:
                    gone.setdefault(tag, []).append(facts)
        for tag, (level, words) in _TOLD.items():
            self._tell(come.get(tag, ()), tag, words, level)
        for tag, words in _OVER.items():
            self._tell(gone.get(tag, ()), f"no-{tag}", words, Level.WARNING)
        if is_changed:
            self._write()

    def _take_over(self, facts: MarketFacts) -> None:
        """Let the pipeline know, where the market is open."""
        opened = self._opened(facts.market)
        if opened is not None and (opened.tags, opened.listing_risk) != (facts.tags, facts.listing_risk):
            _log.info("treated otherwise", market=str(facts.market), tags=sorted(facts.tags), listing_risk=facts.listing_risk)
            self._treat(facts)

    def _tell(self, markets: Sequence[MarketFacts], tag: str, words: str, level: Level) -> None:
        if not markets:
            return
        names = [facts.market.symbol for facts in markets]
        what = f"{names[0]} is" if len(names) == 1 else f"{len(names)} markets are"
        lines = [
            facts.market.symbol + (f": trading ends {stamp(facts.ends_us)[:16]}Z" if facts.ends_us and tag == "delisting" else "")
            for facts in markets[:_SHOWN_MAX]
        ]
        if len(names) > _SHOWN_MAX:
            lines.append(f"and {len(names) - _SHOWN_MAX} more")
        key = f"treated:{self._exchange}:{tag}:{self._now_us()}"
        self._announce(
            key, f"{self._exchange}: {what} {words}", "\n".join([*lines, "Told by the exchange's list of markets."]), level
        )

    def _read(self) -> dict[str, frozenset[str]]:
        with suppress(OSError, ValueError, TypeError, AttributeError, RecursionError):
            kept = json.loads(self._kept.read_text(encoding="utf-8"))
            return {str(symbol): frozenset(map(str, tags)) for symbol, tags in list(kept.items())[:_KEPT_MAX]}
        return {}

    def _write(self) -> None:
        try:
            self._kept.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._kept, [json.dumps({symbol: sorted(tags) for symbol, tags in self._tags.items()}).encode()])
        except OSError as error:
            if not self._is_told:
                self._is_told = True
                _log.warning("what the exchange says of its markets is not kept", exchange=self._exchange, problem=str(error))
