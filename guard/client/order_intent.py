"""What an order does to a position, read from the order itself: pure, for adapters of bots.

Selling spot without margin leaves a position whatever else the order says. On margin and on derivatives only the position can tell,
unless the order says so itself: reduce-only, close-position, a side of a hedged account, a stop loss or a take profit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FLAT", "Held", "Purpose", "Shape", "held_of", "purpose_of"]

_OWN: Final = "guardIntent"
_REDUCING: Final = ("reduceOnly", "closePosition", "reduce_only", "close_position", "closeOnTrigger", "closeFraction")
_SIDED: Final = ("positionSide", "posSide", "holdSide", "pos_side")
_OFFSETS: Final = ("offset", "tradeSide", "openClose", "auto_size")
_PROTECTING: Final = ("stopLossPrice", "takeProfitPrice", "slTriggerPx", "tpTriggerPx")
_PROTECTS: Final = ("stoploss", "takeprofit")
# Amounts are floats that went through text: what differs by less is the same amount.
_SAME: Final = 1 + 1e-9


class Held(NamedTuple):
    """What is held of a market, in the units of an order's amount; both are >= 0. Both at once only on a hedged account."""

    long: float = 0.0
    short: float = 0.0

    @property
    def net(self) -> float:
        """Long less short."""
        return self.long - self.short


FLAT: Final = Held()


class Shape(NamedTuple):
    """An order as it is asked for. `has_positions`: a margin or derivatives market, where selling may open."""

    side: str | None
    order_type: str | None
    amount: float | None
    params: Mapping[str, Any]
    has_positions: bool


class Purpose(NamedTuple):
    """What an order is for.

    Attributes
    ----------
    intent
        guard's word for it.
    leaves
        The part of its amount that leaves, where more than that was asked for.
    is_bound
        False where only its name says that it leaves: a stop loss or a take profit while nothing is held. If it triggers before
        there is a position, it opens one, unless it is sent as reduce-only.
    """

    intent: str
    leaves: float | None = None
    is_bound: bool = True


def held_of(found: Any) -> Held:  # noqa: ANN401 - a bot's number may be an int, a Decimal or a text
    """Read what a bot says it holds: a signed number, ``{"long": 2, "short": 1}``, a ccxt position or several of them.

    Raises ValueError or TypeError for anything else. None is flat.

    Examples
    --------
    >>> held_of(-3), held_of([{"side": "long", "contracts": 2.0}])
    (Held(long=0.0, short=3.0), Held(long=2.0, short=0.0))
    """
    if found is None:
        return FLAT
    if isinstance(found, (list, tuple)) and not isinstance(found, Held):
        each = [held_of(one) for one in found]
        return Held(sum(one.long for one in each), sum(one.short for one in each))
    if isinstance(found, Held):
        return found
    if hasattr(found, "get"):
        return _of_mapping(found)
    amount = float(found)
    if amount != amount:  # noqa: PLR0124 - NaN alone differs from itself
        raise ValueError("a position that is not a number")
    return Held(amount, 0.0) if amount >= 0 else Held(0.0, -amount)


def _of_mapping(found: Any) -> Held:  # noqa: ANN401 - a bot's own mapping
    if "long" in found or "short" in found:
        return Held(abs(float(found.get("long") or 0)), abs(float(found.get("short") or 0)))
    if "contracts" not in found and "amount" not in found:
        raise ValueError("a position has 'contracts' and 'side', or 'long' and 'short'")
    contracts = found.get("contracts")
    amount = float((found.get("amount") if contracts is None else contracts) or 0)
    side = str(found.get("side") or "").lower()
    return held_of(-abs(amount) if side in {"short", "sell"} else abs(amount) if side in {"long", "buy"} else amount)


def purpose_of(shape: Shape, held: Held | None) -> Purpose:
    """Return what an order is for. `held` None: nobody knows what is held, so that only the order's own words tell.

    Examples
    --------
    >>> purpose_of(Shape("sell", "market", 3.0, {}, has_positions=True), Held(long=2.0))
    Purpose(intent='close', leaves=2.0, is_bound=True)
    >>> purpose_of(Shape("buy", "limit", 1.0, {}, has_positions=False), None)
    Purpose(intent='open', leaves=None, is_bound=True)
    """
    params = shape.params
    own = params.get(_OWN)
    if own is not None:
        return Purpose(str(own))
    side = (shape.side or "").lower()
    if not shape.has_positions:
        # Spot exchanges drop a reduce-only mark in silence: on spot the side alone tells.
        return Purpose("close" if side == "sell" else "open")
    if any(map(_is_set, map(params.get, _REDUCING))):
        return Purpose("reduce")
    told = _told_by_side(side, params)
    if told is not None:
        return Purpose(told)
    return _by_position(side, shape, held)


def _told_by_side(side: str, params: Mapping[str, Any]) -> str | None:
    for name in _OFFSETS:
        offset = str(params.get(name) or "").lower()
        if offset.startswith(("close", "open")):
            return "close" if offset.startswith("close") else "open"
    for name in _SIDED:
        of = str(params.get(name) or "").lower()
        if of in {"long", "short"}:
            return "close" if (side, of) in {("sell", "long"), ("buy", "short")} else "open"
    index = str(params.get("positionIdx") or "")
    if index in {"1", "2"}:
        return "close" if (side, index) in {("sell", "1"), ("buy", "2")} else "open"
    # ccxt's own word for a hedged account: without reduce-only the order opens the side it is called after.
    return "open" if _is_set(params.get("hedged")) and not _protects(None, params) else None


def _by_position(side: str, shape: Shape, held: Held | None) -> Purpose:
    protects = _protects(shape.order_type, shape.params)
    if held is None or side not in {"buy", "sell"}:
        if _repays(shape.params):
            return Purpose("close")
        return Purpose("close", is_bound=False) if protects else Purpose("open")
    opposite, same = (held.short, held.long) if side == "buy" else (held.long, held.short)
    if opposite > 0:
        is_more = shape.amount is not None and shape.amount > opposite * _SAME
        return Purpose("close", opposite if is_more else None)
    if same > 0:
        return Purpose("increase")
    # Flat: a bracket's stop goes out before the entry is filled.
    return Purpose("close", is_bound=False) if protects else Purpose("open")


def _protects(order_type: str | None, params: Mapping[str, Any]) -> bool:
    if any(params.get(name) is not None for name in _PROTECTING):
        return True
    return (order_type or "").lower().replace("_", "").replace("-", "").replace(" ", "").startswith(_PROTECTS)


def _repays(params: Mapping[str, Any]) -> bool:
    return str(params.get("sideEffectType") or "").upper() == "AUTO_REPAY" or _is_set(params.get("autoRepay"))


def _is_set(value: object) -> bool:
    return value is not None and value is not False and str(value).lower() not in {"false", "0", ""}
