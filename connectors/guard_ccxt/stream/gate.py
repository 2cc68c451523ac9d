"""The one door for numbers, times and names of an exchange: what passes is finite, positive, in range and in base units."""

from __future__ import annotations

import math
from collections import deque
from itertools import islice
from statistics import median_low
from typing import TYPE_CHECKING, Any, NamedTuple

from guard.errors import MalformedEvent
from guard.model import BUY, SELL, Flag, event_key

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AMOUNT_MAX", "NOTIONAL_MAX", "PRICE_MAX", "SIDES", "ClockOffset", "Gate", "TradeRow", "is_symbol", "positive"]

PRICE_MAX = 1e15
AMOUNT_MAX = 1e18  # some coins exist in 1e17 units
NOTIONAL_MAX = 1e18
_EPOCH_MIN_US = 1_230_768_000_000_000  # 2009: no market is older than its first coin
_FUTURE_MAX_US = 86_400_000_000  # more than a day ahead is not a skewed clock but another unit
_SYMBOL_MAX = 80
_PART_MAX = 40
_PUNCTUATION = frozenset("._-$+")
_INFERRED = int(Flag.INFERRED_SIDE)
SIDES = {"buy": BUY, "sell": SELL}


class TradeRow(NamedTuple):
    """A trade that passed: microseconds, quote per base, base amount, taker side, key and flags as `Batch` takes them."""

    at_us: int
    price: float
    amount: float
    side: int
    key: int
    flags: int


def positive(value: object, name: str, *, most: float) -> float:
    """Return `value` as a finite float in (0, most]; raises MalformedEvent naming what is wrong with it.

    Examples
    --------
    >>> positive(3, "price", most=10.0)
    3.0
    >>> positive(float("nan"), "price", most=10.0)
    Traceback (most recent call last):
    guard.errors.MalformedEvent: price_not_finite: nan
    """
    if type(value) is not float and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise MalformedEvent(f"{name}_missing" if value is None else f"{name}_not_a_number", repr(value)[:40])
    try:
        number = float(value)
    except OverflowError:
        raise MalformedEvent(f"{name}_out_of_range", "an integer beyond floats") from None
    if 0.0 < number <= most:
        return number
    if not math.isfinite(number):
        raise MalformedEvent(f"{name}_not_finite", repr(number))
    raise MalformedEvent(f"{name}_not_positive" if number <= 0.0 else f"{name}_out_of_range", repr(number))


def is_symbol(symbol: object) -> bool:
    """Whether `symbol` reads ``BASE/QUOTE`` or ``BASE/QUOTE:SETTLE`` (with ``-`` and a date), in letters, digits and ``._-$+``.

    Examples
    --------
    >>> is_symbol("BTC/USDT:USDT-260327"), is_symbol("BTC USDT"), is_symbol("<b>/USDT")
    (True, False, False)
    """
    if not isinstance(symbol, str) or len(symbol) > _SYMBOL_MAX:
        return False
    base, slash, rest = symbol.partition("/")
    quote, colon, settle = rest.partition(":")
    parts = (base, quote, settle) if colon else (base, quote)
    return bool(slash) and all(
        0 < len(part) <= _PART_MAX and all(letter.isalnum() or letter in _PUNCTUATION for letter in part) for part in parts
    )


class ClockOffset:
    """How far the exchange's clock runs ahead of ours, from the delays of recent events.

    Parameters
    ----------
    window
        Number of recent events looked at, > 0.

    Notes
    -----
    A delay (received - exchange time) below zero cannot be: where the median of the window is negative the exchange's clock is
    ahead (or ours behind) by at least that much, and `offset_us` is that median. A positive median may be real latency: offset 0,
    but for what an answer of its clock proves: see `prove`.

    Examples
    --------
    >>> offset = ClockOffset(window=5)
    >>> for exchange_us in (150, 160, 170):
    ...     offset.observe(received_us=exchange_us - 100, exchange_us=exchange_us)
    >>> offset.offset_us
    -100
    """

    _BEHIND_MIN_US = 1_000_000
    _DELAY_MAX_US = 30_000_000  # what is older was resent, or its clock is wrong
    _STEP = 16  # a median of the window is worked out once in so many events

    def __init__(self, window: int = 101) -> None:
        self.offset_us = 0
        self.latency_us = 0
        self._behind_us = 0
        self._delays: deque[int] = deque(maxlen=window)
        self._until_next = 0
        self._seen = 0

    def observe(self, *, received_us: int, exchange_us: int) -> None:
        """Take one event into account."""
        self._delays.append(received_us - exchange_us)
        self._seen += 1
        self._until_next -= 1
        if self._until_next <= 0:
            self._until_next = self._STEP if self._seen >= self._STEP else 1
            self.latency_us = median_low(self._delays)
            self.offset_us = self._behind_us + min(0, self.latency_us - self._behind_us)

    @property
    def delay_us(self) -> int:
        """The longest time that one of the last events took to arrive, by the corrected clock, microseconds, in 0..30 s."""
        last = max(islice(reversed(self._delays), self._STEP), default=0)
        return min(max(0, last - self.offset_us), self._DELAY_MAX_US)

    def prove(self, *, sent_us: int, exchange_us: int, received_us: int) -> None:
        """Take the exchange's own time, asked for at `sent_us` and answered at `received_us` of our clock.

        It was read in between: a clock that shows less than `sent_us` is behind ours by the difference at least, and so much is
        added to its times. The error is at most the time that the request took. Below a second nothing is corrected.

        Examples
        --------
        >>> offset = ClockOffset()
        >>> offset.prove(sent_us=10_000_000, exchange_us=4_000_000, received_us=10_200_000)
        >>> offset.offset_us
        6000000
        """
        behind_us = sent_us - exchange_us
        is_sure = received_us >= sent_us and behind_us >= self._BEHIND_MIN_US
        self._behind_us = behind_us if is_sure else 0
        self.offset_us = self._behind_us + min(0, self.latency_us - self._behind_us if self._seen else 0)


class Gate:
    """Turns ccxt's numbers of one market into rows, or raises MalformedEvent with a reason to count.

    Parameters
    ----------
    contract_size
        Base (inverse: quote) amount of one contract; 1 for spot. Finite, > 0.
    is_inverse
        Whether amounts are contracts worth `contract_size` of quote each.
    offset
        The exchange's clock, shared by its markets.

    Examples
    --------
    >>> Gate(contract_size=100.0, is_inverse=True).level(50_000.0, 5.0)
    0.01
    """

    __slots__ = ("contract_size", "is_inverse", "is_plain", "offset")

    def __init__(self, *, contract_size: float = 1.0, is_inverse: bool = False, offset: ClockOffset | None = None) -> None:
        self.contract_size = contract_size
        self.is_inverse = is_inverse
        self.offset = offset or ClockOffset()
        self.is_plain = contract_size == 1.0 and not is_inverse

    def base_amount(self, price: float, amount: float) -> float:
        """Return `amount` in base; raises MalformedEvent where the product leaves the range."""
        base = amount
        if not self.is_plain:
            base = amount * self.contract_size / price if self.is_inverse else amount * self.contract_size
        if not 0.0 < base <= AMOUNT_MAX or not base * price <= NOTIONAL_MAX:
            raise MalformedEvent("notional_out_of_range", f"{base!r} at {price!r}")
        return base

    def level(self, price: object, amount: object) -> float:
        """Return the base amount resting at `price`, 0 for a removed level; raises MalformedEvent."""
        checked = positive(price, "price", most=PRICE_MAX)
        if type(amount) in (int, float) and amount == 0:
            return 0.0
        return self.base_amount(checked, positive(amount, "amount", most=AMOUNT_MAX))

    def at_us(self, timestamp_ms: object, *, received_us: int, is_live: bool = True) -> int:
        """Return exchange time in microseconds, corrected by the offset and never after `received_us`.

        `received_us` where the exchange gave no time. Raises MalformedEvent for a time before 2009 or more than a day ahead.
        `is_live` False (an answer, not a stream) says nothing about the delay and is not observed.
        """
        if timestamp_ms is None:
            return received_us
        exchange_us = int(positive(timestamp_ms, "time", most=1e14) * 1000)
        if not _EPOCH_MIN_US <= exchange_us <= received_us + _FUTURE_MAX_US:
            raise MalformedEvent("time_out_of_range", repr(timestamp_ms))
        if is_live:
            self.offset.observe(received_us=received_us, exchange_us=exchange_us)
        return min(exchange_us + self.offset.offset_us, received_us)

    def whole_ms(self, timestamp_ms: int, received_us: int) -> int:
        """Return the same as `at_us` for the stamp of a stream in whole milliseconds, in fewer steps."""
        exchange_us = timestamp_ms * 1000
        if not _EPOCH_MIN_US <= exchange_us <= received_us + _FUTURE_MAX_US:
            return self.at_us(timestamp_ms, received_us=received_us)
        offset = self.offset
        offset.observe(received_us=received_us, exchange_us=exchange_us)
        return min(exchange_us + offset.offset_us, received_us)

    def trade(self, trade: Mapping[str, Any], *, received_us: int, is_live: bool = True) -> TradeRow:
        """Return a ccxt trade as a row; raises MalformedEvent."""
        price = positive(trade.get("price"), "price", most=PRICE_MAX)
        amount = self.base_amount(price, positive(trade.get("amount"), "amount", most=AMOUNT_MAX))
        at_us = self.at_us(trade.get("timestamp"), received_us=received_us, is_live=is_live)
        side = SIDES.get(trade.get("side") or "", 0)
        return TradeRow(at_us, price, amount, side, event_key(trade.get("id")), 0 if side else _INFERRED)
