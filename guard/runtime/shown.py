"""What a running guard shows to bots: the image of its pipeline, with what the ledger holds and the feeds have not opened yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.model import Market
from guard.model.bot import listed_until
from guard.runtime.opening import NOT_OPEN, NOT_REACHED
from guard.runtime.slices import Slices

if TYPE_CHECKING:
    from collections.abc import Collection

    from guard.model import Image
    from guard.runtime.live import Live

__all__ = ["Scores", "WatchedNames", "shown_image"]

# How old a score may be that is published; it is looked at each second.
_SCORES_US: Final = 1_500_000


def shown_image(live: Live, *, look: bool = True) -> Image:
    """Return what bots may see: blocks as the ledger has them, and the markets of the last run that are not open yet.

    Those are warming, or stale once their feed has failed. Without `look` scores are those looked at last; levels and how good the
    data is are always of now.
    """
    let_go = {market for feed in live.feeds for market in feed.let_go}
    image = live.pipeline.image(let_go=let_go, look=look)
    failing = {feed.plan.name for feed in live.feeds if feed.failures and not feed.is_streaming}
    earlier = live.watchlist.markets - image.markets.keys() - set(map(str, let_go))
    waiting = {
        name: live.watchlist.view(name, NOT_REACHED if Market.parse(name).exchange in failing else NOT_OPEN) for name in earlier
    }
    unreached = {feed.plan.name: NOT_REACHED if feed.is_unreached else NOT_OPEN for feed in live.feeds if not feed.is_chosen}
    return image._replace(
        blocks=live.committer.blocks(),
        markets={**waiting, **image.markets},
        unreached=unreached,
        bots=live.bots,
        rule_tags={rule.id: rule.tags for rule in live.pipeline.engine.program.rules},
        bypass=live.bypass.shown(),
    )


class Scores:
    """Looks at the markets in slices before they are published: all at once they would hold up bots that ask over HTTP."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._looked_us = -_SCORES_US

    @property
    def are_fresh(self) -> bool:
        """Whether all markets were looked at a short while ago, and nothing was done since that changes how."""
        return self._live.clock.monotonic_us() - self._looked_us < _SCORES_US

    def forget(self) -> None:
        """Let the next publication look at all markets itself."""
        self._looked_us = -_SCORES_US

    async def look(self) -> None:
        """Bring the scores of all markets up to date."""
        pipeline, slices = self._live.pipeline, Slices(self._live.clock.monotonic_us)
        self._looked_us = self._live.clock.monotonic_us()
        for row in range(len(pipeline.engine.watched)):
            pipeline.engine.look(row, pipeline.now_us)
            await slices.step()
        await slices.turn()


class WatchedNames:
    """Keeps watched markets for a restart, and which are new listings: those of an exchange not reached yet stay in the list."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._kept: tuple[Collection[Market], int, dict[str, int]] = ((), -1, {})

    def keep(self) -> None:
        """Write what changed."""
        feeds, watchlist = self._live.feeds, self._live.watchlist
        let_go = {market for feed in feeds for market in feed.let_go}
        markets = self._live.pipeline.engine.markets.keys() - let_go
        state = (markets, sum(feed.has_streamed for feed in feeds), self._listed())
        if state != self._kept:
            self._kept = state
            unreached = {feed.plan.name for feed in feeds if not feed.has_streamed}
            kept = {name for name in watchlist.markets if Market.parse(name).exchange in unreached}
            earlier = {name: until_us for name, until_us in watchlist.listed_until_us.items() if name in kept}
            watchlist.remember(kept | set(map(str, markets)), earlier | state[2])

    def _listed(self) -> dict[str, int]:
        engine, now_us = self._live.pipeline.engine, self._live.clock.now_us()
        found = ((watched.facts, listed_until(watched.facts.listed_us, now_us)) for watched in engine.watched)
        return {str(facts.market): until_us for facts, until_us in found if until_us is not None}
