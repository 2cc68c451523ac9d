"""Whether a book without messages is a book where nothing happens, or one that moved without us."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guard_ccxt.alive.silence import TickerLag

__all__ = ["HereBook", "Quote", "StillBook", "quote", "top"]

_SLACK_SHARE: Final = 12
_WRONG_MAX: Final = 7
_FORGOTTEN_US: Final = 604_800_000_000


class Quote(NamedTuple):
    """Best prices of a book."""

    bid: float
    ask: float


class HereBook(NamedTuple):
    """What our stream says: what tells its last message from the one before, the exchange's time of it, and the best prices."""

    token: tuple[object, ...]
    at_us: int | None
    quote: Quote | None


def quote(ticker: Mapping[str, Any] | None) -> Quote | None:
    """Return the best prices that a ccxt ticker tells; None where it tells none, or no sane ones.

    Examples
    --------
    >>> quote({"bid": 1.0, "ask": 1.5})
    Quote(bid=1.0, ask=1.5)
    >>> quote({"bid": 1.0, "ask": None}), quote({"bid": 2.0, "ask": 1.0})
    (None, None)
    """
    bid, ask = (ticker or {}).get("bid"), (ticker or {}).get("ask")
    if not (_is_price(bid) and _is_price(ask)) or bid > ask:  # type: ignore[operator]  # both are prices
        return None
    return Quote(float(bid), float(ask))  # type: ignore[arg-type]  # likewise


def top(book: Mapping[str, Sequence[Sequence[Any]]]) -> Quote | None:
    """Return the best prices of a ccxt book."""
    bids, asks = book.get("bids") or (), book.get("asks") or ()
    return quote({"bid": bids[0][0], "ask": asks[0][0]}) if bids and asks else None


class StillBook:
    """Judges one stream of a book by what the exchange's ticker shows of it.

    Notes
    -----
    A book that gets messages lives, whatever they change. One that gets none while the ticker's best bid or ask is another than
    ours has missed something: where that ticker agreed with our book before, or moved since the look before, so that it does not
    only differ by nature. A ticker lags, so it is held against a book that was still for longer than the lag and a 12th of the time
    between looks (5 s).

    Each judgement that turns out wrong after the first doubles how many looks the next one needs (up to 64), and is forgotten after
    a week, all of them after a right one. Raises nothing, whatever the ticker says.

    Examples
    --------
    >>> from guard_ccxt.alive.silence import TickerLag
    >>> still, lag = StillBook(), TickerLag()
    >>> here = HereBook((7,), None, Quote(1.0, 1.1))
    >>> looks = ((1, Quote(1.0, 1.1)), (60_000_001, Quote(1.0, 1.1)), (120_000_001, Quote(1.0, 1.2)))
    >>> [still.misses(here, seen, lag=lag, now_us=0, steady_us=at) for at, seen in looks]
    [False, False, True]
    """

    def __init__(self) -> None:
        self._token: tuple[object, ...] = ()
        self._since_us = 0
        self._before: Quote | None = None
        self._refuted: Quote | None = None
        self._has_agreed = False
        self._strikes = 0
        self._wrong = 0
        self._looked_us = 0
        self._wrong_us = 0

    def misses(self, here: HereBook, seen: Quote | None, *, lag: TickerLag, now_us: int, steady_us: int) -> bool:
        """Return whether the book moved there and not here; `now_us` is wall time, `steady_us` never jumps."""
        if here.token != self._token:
            self._token, self._since_us, self._strikes = here.token, steady_us, 0
        before, self._before, self._looked_us = self._before, seen or self._before, steady_us
        if self._wrong and steady_us - self._wrong_us > _FORGOTTEN_US:
            self._wrong, self._wrong_us = self._wrong - 1, steady_us
        if seen is None or here.quote is None:
            return False
        if seen == here.quote:
            self._has_agreed, self._refuted, self._strikes = True, None, 0
            return False
        age_us = waited_us = steady_us - self._since_us
        if here.at_us is not None:  # a wall clock that was set must not make it look old at once
            age_us = max(waited_us, min(now_us - here.at_us, waited_us + lag.every_us))
        has_moved = self._has_agreed or before not in (None, seen)
        is_missing = age_us > lag.us + lag.every_us // _SLACK_SHARE and has_moved and seen != self._refuted
        self._strikes = self._strikes + 1 if is_missing or (self._strikes and seen != self._refuted) else 0
        return self._strikes >= 1 << max(0, self._wrong - 1)

    def refute(self) -> None:
        """Take note that nothing was missed after all."""
        self._strikes, self._wrong = 0, min(self._wrong + 1, _WRONG_MAX)
        self._wrong_us = self._looked_us
        self._refuted, self._has_agreed = self._before, False

    def confirm(self) -> None:
        """Take note that messages had been missed indeed."""
        self._strikes, self._wrong = 0, 0


def _is_price(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf")
