"""Which exchanges the installed connectors know, and which rules can work on each."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final, NamedTuple

from guard.model import Market, MarketFacts

if TYPE_CHECKING:
    from guard.dsl import Program
    from guard.features.tables import Leaf
    from guard.model.exchange import ExchangeOffer

__all__ = ["Fit", "fits", "offers"]

_HOUR_US: Final = 3_600_000_000
_PEERS: Final = "peers"
_COUNTED: Final = frozenset({"trades", "low_trades", "median_trades", "rush_orders"})
_TIMED: Final = frozenset({"rush", "rush_orders", "rush_seconds", "high_rush", "swept", "removed_unfilled", "inside_volume"})
_PRINTS: Final = "prints_"
_STREAMS: Final = {"trades": "the stream of trades", "book": "the stream of the book"}


class Fit(NamedTuple):
    """How a rule fares on an exchange: ``works``, ``weaker``, ``unsure`` (not known) or ``never``, and why.

    `why` is empty where it works.
    """

    rule: str
    state: str
    why: str = ""


def offers() -> list[ExchangeOffer]:
    """Return what the installed connectors offer, by id. A connector without a catalogue offers nothing."""
    found: list[ExchangeOffer] = []
    for point in entry_points(group="guard.connectors"):
        catalogue = getattr(point.load(), "catalogue", None)
        if catalogue is not None:
            found += catalogue()
    return sorted(found)


def fits(offer: ExchangeOffer, program: Program) -> list[Fit]:
    """Return how each rule of `program` fares on an ordinary market of an exchange."""
    streams = offer.streams | ({_PEERS} if "book" in offer.streams else frozenset())
    facts = MarketFacts(Market(offer.id, "BASE/QUOTE"), streams=streams)
    found = []
    for number, rule in enumerate(program.rules):
        lacking = program.lacking(number, facts)
        if lacking:
            found.append(Fit(rule.id, "never", _need(offer, lacking)))
            continue
        read = list(program.leaves_of(number))
        weak, unsure = _weakness(offer, read), _doubt(offer, read)
        state = "weaker" if weak else "unsure" if unsure else "works"
        found.append(Fit(rule.id, state, "; ".join([*weak, *unsure])))
    return found


def _need(offer: ExchangeOffer, lacking: frozenset[str]) -> str:
    wanted = {"book" if name == _PEERS else name for name in lacking}
    what = " and ".join(_STREAMS[name] for name in sorted(wanted))
    return f"needs {what}" + ("; ccxt signs in for that here, and guard has no key" if wanted & offer.keyed else "")


def _weakness(offer: ExchangeOffer, read: list[Leaf]) -> list[str]:
    reasons = []
    if offer.prints in {"taker", "batch"} and _is_any(read, _COUNTED):
        reasons.append("it counts trades, and one trade is all fills of a taker order at one price here")
    if offer.stamp == "s" and _is_any(read, _TIMED):
        reasons.append("it looks within a second, and trades carry whole seconds here")
    # Baselines of turnover are warmed by candles; those of books are learned live on every exchange.
    if "candles" not in offer.rest and any(_is_warmed(leaf) for leaf in read):
        reasons.append("no candles over REST: its long baselines are learned live")
    return reasons


def _doubt(offer: ExchangeOffer, read: list[Leaf]) -> list[str]:
    reasons = []
    if offer.prints == "unknown" and _is_any(read, _COUNTED):
        reasons.append("it counts trades, and whether one trade is one fill is not known here")
    if offer.stamp == "unknown" and _is_any(read, _TIMED):
        reasons.append("it looks within a second, and how exact stamps are is not known here")
    return reasons


def _is_any(read: list[Leaf], fields: frozenset[str]) -> bool:
    return any(leaf.field in fields or leaf.field.startswith(_PRINTS) for leaf in read)


def _is_warmed(leaf: Leaf) -> bool:
    is_long = any(isinstance(argument, int) and argument >= _HOUR_US for argument in leaf.arguments)
    return is_long and not leaf.field.startswith(("spread", "depth", "mid"))
