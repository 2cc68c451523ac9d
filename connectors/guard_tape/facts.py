"""The facts of markets as JSON, as a recording keeps them."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from guard.model import Market, MarketClass, MarketFacts

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["market_record", "markets_from", "markets_json", "markets_of"]

_NUMBERS = ("tick", "lot", "usd_rate", "volume_24h_usd", "listing_risk")
# What recordings made before it was known of lack.
_NEWER = {"listing_risk": None, "ends_us": None}


def markets_json(markets: Sequence[MarketFacts]) -> str:
    """Return a table of markets as JSON.

    Examples
    --------
    >>> table = [MarketFacts(Market("sim", "X/USDT"), tick=0.1)]
    >>> markets_of(markets_json(table)) == table
    True
    """
    return json.dumps([_record(facts) for facts in markets], separators=(",", ":"), allow_nan=False)


def _record(facts: MarketFacts) -> dict[str, Any]:
    return {
        **facts._asdict(),
        "market": str(facts.market),
        "market_class": str(facts.market_class),
        "tags": sorted(facts.tags),
        "streams": sorted(facts.streams),
    }


def markets_of(text: str | bytes) -> list[MarketFacts]:
    """Return the table that `markets_json` wrote; raises ValueError where it is anything else."""
    return markets_from(json.loads(text))


def market_record(facts: MarketFacts) -> dict[str, Any]:
    """Return the facts of one market as JSON can hold them."""
    return _record(facts)


def markets_from(records: Any) -> list[MarketFacts]:  # noqa: ANN401 - whatever a file says
    """Return a table of markets out of JSON; raises ValueError where it is anything else."""
    if not isinstance(records, list):
        raise ValueError("the table of markets is no list")  # noqa: TRY004 - one error for all that is wrong with a file
    return [_facts(record) for record in records]


def _facts(record: Any) -> MarketFacts:  # noqa: ANN401 - whatever the file says
    record = {**_NEWER, **record} if isinstance(record, dict) else record
    if not isinstance(record, dict) or set(record) != set(MarketFacts._fields):
        raise ValueError(f"a market has the keys {', '.join(MarketFacts._fields)}; found {record!r:.80}")
    numbers = [record[name] for name in _NUMBERS if record[name] is not None] + [record["contract_size"]]
    if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
        raise ValueError(f"{record['market']!r}: {', '.join(_NUMBERS)} and contract_size are numbers")
    moments = (record["listed_us"], record["ends_us"])
    if not all(at_us is None or isinstance(at_us, int) for at_us in moments) or not isinstance(record["is_inverse"], bool):
        raise ValueError(f"{record['market']!r}: listed_us and ends_us are whole numbers and is_inverse a truth value")
    sets = {name: frozenset(map(str, record[name])) for name in ("tags", "streams") if isinstance(record[name], list)}
    if len(sets) != 2:  # noqa: PLR2004 - both
        raise ValueError(f"{record['market']!r}: tags and streams are lists")
    market = Market.parse(str(record["market"]))
    return MarketFacts(**{**record, **sets, "market": market, "market_class": MarketClass(record["market_class"])})
