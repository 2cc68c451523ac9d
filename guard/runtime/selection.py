"""Which of an exchange's markets are watched, now and as things change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from guard.dsl.patterns import matches_any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from guard.dsl.market_where import MarketWhere
    from guard.model import Market, MarketFacts

__all__ = ["Chosen", "Selection", "Wanted"]

_HOUR_US: Final = 3_600_000_000
# A watched market is 20 % under a bound before it is out: a newcomer needs a quarter more turnover than the one it displaces.
_BAND: Final = 0.8
_TURNOVERS: Final = (1.0, _BAND, 1.0 / _BAND)


class Wanted(NamedTuple):
    """What guard.yaml asks for.

    `markets` and `exclude` are patterns of symbols (``*/USDT``); `quotes` limits the quote asset, empty for all; `where` is asked
    of each market, and what it does not know counts as held. `markets_max` bounds what patterns find.
    """

    markets: Sequence[str]
    markets_max: int
    exclude: Sequence[str] = ()
    quotes: Sequence[str] = ()
    where: MarketWhere | None = None


class Chosen(NamedTuple):
    """The markets to watch: those written out, then those of bots, then the busiest.

    `left_out` counts what was asked for beyond `markets_max`; `reasons` tells for each symbol on offer that is not watched why;
    `traded` is what bots trade.
    """

    markets: list[MarketFacts]
    left_out: int
    reasons: dict[str, str]
    traded: frozenset[str] = frozenset()

    @property
    def is_made(self) -> bool:
        """Whether anything was on offer to choose from."""
        return bool(self.markets or self.reasons)

    @property
    def unwatched(self) -> dict[str, str]:
        """What bots trade and nobody watches, by symbol, each with the reason."""
        missing = self.traded - {facts.market.symbol for facts in self.markets}
        return {symbol: self.reasons.get(symbol, "the exchange does not offer it") for symbol in sorted(missing)}


class _Offer(NamedTuple):
    facts: MarketFacts
    order: tuple[int, float, str]
    is_certain: bool


class Selection:
    """Chooses markets again and again, so that small moves change nothing.

    Parameters
    ----------
    wanted
        What guard.yaml asks for.
    earlier
        The names of markets that were watched before a restart; of them those that are held go on being watched.

    Notes
    -----
    New markets come at once. A watched one goes an hour after it stopped being wanted: its `where` fails even where its turnover
    were a fifth less or a quarter more, its bot gave it up, or the exchange does not offer it any more or halted it. Where there
    is no room, a newcomer with a quarter more turnover takes the place of the least busy at once. What is written out without a
    star, or traded by a bot, always has its place, even beyond `markets_max`; what is excluded never has one, unless it is held.

    Examples
    --------
    >>> from guard.model import Market, MarketFacts
    >>> selection = Selection(Wanted(["*/USDT"], markets_max=1))
    >>> def now(**volumes):
    ...     offered = [MarketFacts(Market("x", f"{base}/USDT"), volume_24h_usd=volume) for base, volume in volumes.items()]
    ...     return [facts.market.base for facts in selection.choose(offered, now_us=0).markets]
    >>> now(A=100.0, B=90.0), now(A=100.0, B=120.0), now(A=100.0, B=130.0), now(A=140.0, B=130.0)
    (['A'], ['A'], ['B'], ['B'])
    """

    def __init__(self, wanted: Wanted, *, earlier: Collection[str] = ()) -> None:
        self.wanted = wanted
        self._earlier = frozenset(earlier)
        self._named = frozenset(wanted.markets)
        self._watched: dict[Market, MarketFacts] = {}
        self._unwanted_since: dict[Market, int] = {}

    def choose(
        self,
        offered: Iterable[MarketFacts],
        *,
        now_us: int,
        traded: Collection[str] = (),
        is_held: Callable[[Market], bool] = lambda _market: False,
    ) -> Chosen:
        """Return the markets to watch from now on.

        `traded` are the symbols that bots trade, `is_held` tells of a market that must not be let go: a quarantine is open there.
        """
        on_offer = {facts.market: facts for facts in offered}
        # What the exchange offers no longer is as it was last known.
        if self._earlier:
            names, self._earlier = self._earlier, frozenset()
            self._watched |= {market: facts for market, facts in on_offer.items() if str(market) in names and is_held(market)}
        known = {**{market: facts for market, facts in self._watched.items() if market not in on_offer}, **on_offer}
        reasons: dict[str, str] = {}
        staying: list[_Offer] = []
        for market, facts in known.items():
            why_not = self._why_not(facts, traded, now_us, is_offered=market in on_offer)
            if why_not is None:
                self._unwanted_since.pop(market, None)
            elif market not in self._watched or not self._lingers(market, why_not, now_us, is_held):
                reasons[market.symbol] = why_not
                continue
            staying.append(self._offer(facts, traded))
        staying.sort(key=lambda offer: offer.order)
        certain = [offer.facts for offer in staying if offer.is_certain]
        others = [offer.facts for offer in staying if not offer.is_certain]
        room = max(0, self.wanted.markets_max - len(certain))
        chosen = certain + others[:room]
        beyond = others[room:]
        chosen += [facts for facts in beyond if facts.market in self._watched and is_held(facts.market)]
        self._watched = {facts.market: facts for facts in chosen}
        self._unwanted_since = {market: at_us for market, at_us in self._unwanted_since.items() if market in self._watched}
        cut = [facts.market.symbol for facts in beyond if facts.market not in self._watched]
        reasons |= dict.fromkeys(cut, f"max_markets is {self.wanted.markets_max}, and others have more turnover")
        return Chosen(chosen, len(cut), reasons, frozenset(traded))

    def _why_not(  # noqa: PLR0911 - one for each reason
        self, facts: MarketFacts, traded: Collection[str], now_us: int, *, is_offered: bool
    ) -> str | None:
        """Return why a market is not wanted; None where it is."""
        wanted, symbol = self.wanted, facts.market.symbol
        if matches_any(wanted.exclude, symbol):
            return "excluded"
        if symbol in traded:
            return None
        if not is_offered:
            return "the exchange does not offer it"
        if not matches_any(wanted.markets, symbol):
            return "no pattern of markets fits"
        if wanted.quotes and facts.market.quote not in wanted.quotes:
            return f"its quote is not {', '.join(wanted.quotes)}"
        if "halted" in facts.tags and symbol not in self._named:
            return "the exchange halted it"
        turnovers = _TURNOVERS if facts.market in self._watched else _TURNOVERS[:1]
        if wanted.where is not None and all(wanted.where.holds(facts, now_us=now_us, turnover=each) is False for each in turnovers):
            return f"where does not hold: {wanted.where.text}"
        return None

    def _lingers(self, market: Market, why_not: str, now_us: int, is_held: Callable[[Market], bool]) -> bool:
        since_us = self._unwanted_since.setdefault(market, now_us)
        return is_held(market) or (why_not != "excluded" and now_us - since_us < _HOUR_US)

    def _offer(self, facts: MarketFacts, traded: Collection[str]) -> _Offer:
        symbol = facts.market.symbol
        is_named, is_traded = symbol in self._named, symbol in traded
        turnover = (facts.volume_24h_usd or 0.0) / (_BAND if facts.market in self._watched else 1.0)
        return _Offer(facts, (0 if is_named else 1 if is_traded else 2, -turnover, symbol), is_named or is_traded)
