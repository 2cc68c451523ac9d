"""Whether a quiet stream of trades is a quiet market, or one that moved without us."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Here", "Silence", "There", "TickerLag", "there"]

_SLACK_SHARE: Final = 12
_LAG_MAX_US: Final = 900_000_000
_SAMPLES: Final = 200
_KNOWN_AFTER: Final = 5
_OUTLIERS: Final = 0.005
_WRONG_MAX: Final = 7
_FORGOTTEN_US: Final = 129_600_000_000
_PENDING_MAX: Final = 16
_RISE: Final = 1e-8


class There(NamedTuple):
    """What a ticker says of one market; None where it does not.

    Last price, volume and trades of a day, id of the last trade, turnover of a day: a trade that makes up for one that rolls out
    seldom makes up for both.
    """

    last: float | None = None
    volume: float | None = None
    trades: int | None = None
    last_id: int | None = None
    turnover: float | None = None


class Here(NamedTuple):
    """What our stream says.

    Trades that ever arrived; price, exchange time and key of the last one, None and 0 before the first; what was traded in all, in
    the unit of the ticker's volume (None: in another), how much time it is known to have missed: a sum of before does not hold, and
    whether its keys show what is missing between two.
    """

    arrivals: int
    price: float | None = None
    at_us: int | None = None
    key: int = 0
    total: float | None = None
    gap_us: int = 0
    is_counted: bool = True


def there(ticker: Mapping[str, Any] | None) -> There:
    """Return what a ccxt ticker says; whatever is no sane number is as good as not said.

    Examples
    --------
    >>> there({"last": 1.5, "baseVolume": None, "info": {"count": 7, "lastId": "12"}})
    There(last=1.5, volume=None, trades=7, last_id=12, turnover=None)
    """
    if not ticker:
        return There()
    info = ticker.get("info")
    more = info if isinstance(info, dict) else {}
    last_id = _whole(more.get("lastId"))
    # Binance answers -1 where nothing traded for a day.
    volume, turnover = _number(ticker.get("baseVolume")), _number(ticker.get("quoteVolume"))
    return There(_number(ticker.get("last")), volume, _whole(more.get("count")), last_id or None, turnover)


class TickerLag:
    """How old an exchange's tickers may be, learnt from streams that were proven alive.

    Parameters
    ----------
    every_us
        Time between two looks, > 0.

    Notes
    -----
    Where a ticker does not show our last trade, and later trades arrived, it was older than that trade: a lower bound. `us` is the
    largest bound seen in the last 200 looks, the wildest apart; a third of the time between two looks (20 s) while fewer than five
    told that it is less. An exchange whose tickers are minutes old is thus asked about older silences only.

    Examples
    --------
    >>> lag = TickerLag()
    >>> lag.us
    20000000
    >>> for _ in range(5):
    ...     lag.observe(age_us=20_000_000, agrees=True)
    >>> lag.us
    0
    >>> for _ in range(5):
    ...     lag.observe(age_us=3_000_000, agrees=False)
    >>> lag.us
    3000000
    """

    def __init__(self, every_us: int = 60_000_000) -> None:
        self.every_us = every_us
        self._samples: deque[tuple[int, bool]] = deque(maxlen=_SAMPLES)
        self._us: int | None = None

    def observe(self, *, age_us: int, agrees: bool) -> None:
        """Take one look at a stream proven alive: age of its last trade, and whether the ticker showed that trade."""
        self._samples.append((min(max(age_us, 0), _LAG_MAX_US), agrees))
        self._us = None

    @property
    def us(self) -> int:
        """How old a ticker may be, microseconds."""
        if self._us is None:
            bounds = sorted((age for age, agrees in self._samples if not agrees), reverse=True)
            left_out = int(len(self._samples) * _OUTLIERS)
            lag = bounds[left_out] if len(bounds) > left_out else 0
            told = sum(agrees and lag <= age <= max(2 * lag, self.every_us) for age, agrees in self._samples)
            self._us = lag if told >= _KNOWN_AFTER else max(lag, self.every_us // 3)
        return self._us


class Silence:
    """Judges one stream of trades by what the exchange's ticker shows of the market.

    Parameters
    ----------
    lag
        How old the tickers of the exchange may be; shared by its streams.

    Notes
    -----
    Silence alone says nothing: thin coins are silent for hours. A ticker speaks of trades that we have not got where its last
    price is not that of our last trade, where its last trade has a higher id, or where volume or count of the day rose by more
    than we got between two looks (both fall by themselves: a day rolls on). A ticker lags, so what it shows is held against our
    last trade only once that is older than the lag and a 12th of the time between looks (5 s); ids need no such care.

    Each judgement that turns out wrong after the first doubles how many looks the next one needs (up to 64), and is forgotten after
    36 hours, all of them after a right one: a ticker and a stream that differ by nature do not disturb for long. Raises nothing,
    whatever the ticker says.

    Examples
    --------
    >>> silence = Silence()
    >>> here = Here(arrivals=1, price=1.0, at_us=0)
    >>> [silence.misses(here, There(last=last), now_us=100_000_000, steady_us=at) for last, at in ((1.0, 1), (1.1, 60_000_001))]
    [False, True]
    """

    def __init__(self, lag: TickerLag | None = None) -> None:
        self._lag = lag or TickerLag()
        self._arrivals = -1
        self._since_us = 0
        self._looked_us: int | None = None
        self._settled: tuple[Here, There] | None = None
        self._before = There()
        self._audited: tuple[object, ...] | None = None
        self._arrivals_before = 0
        self.state: tuple[object, ...] = ()
        self.is_silent = False
        self._has_volume = True
        self._reference: float | None = None
        self._other: float | None = None
        self._has_ids = False
        self._is_by_volume = False
        self._strikes = 0
        self._wrong = 0
        self._wrong_us = 0
        self._pending: list[tuple[int, bool]] = []

    def misses(self, here: Here, seen: There, *, now_us: int, steady_us: int) -> bool:
        """Return whether the market moved there and not here; `now_us` is wall time, `steady_us` never jumps."""
        if here.arrivals != self._arrivals:
            self._came(here, seen, steady_us)
        age_us = self._age_us(here, now_us, steady_us)
        is_missing = self._shows_more(here, seen, age_us)
        # Every trade, here or there, changes one of these; the key stands for what ids prove.
        is_proven = self._has_ids and here.is_counted and seen.last_id is not None and here.key >= seen.last_id
        # A ticker that is minutes old proves nothing of the last ones.
        old_us = steady_us if self._lag.us > self._lag.every_us else 0
        self.state = (is_proven, *((here.key,) if is_proven else (here.arrivals, *seen, old_us)))
        self.is_silent, self._arrivals_before = here.arrivals == self._arrivals_before, here.arrivals
        self._note(here, seen, age_us)
        self._before, self._looked_us = seen, steady_us
        self._strikes = self._strikes + 1 if is_missing else 0
        if self._wrong and steady_us - self._wrong_us > _FORGOTTEN_US:
            self._wrong, self._wrong_us = self._wrong - 1, steady_us
        return self._strikes >= 1 << max(0, self._wrong - 1)

    @property
    def is_open(self) -> bool:
        """Whether the last look leaves open that trades were missed: there was a trade, or may have been, and no proof of it."""
        return self.state not in ((), self._audited) and self.state[0] is False

    def settle(self, state: tuple[object, ...]) -> None:
        """Take note that nothing was missed up to the look at which `state` was so."""
        self._audited = state

    def refute(self) -> None:
        """Take note that nothing was missed after all."""
        for age_us, agrees in self._pending:
            if not agrees:
                # The next look must not fall for the same lag again.
                self._lag.observe(age_us=2 * age_us, agrees=False)
        self._pending.clear()
        self._strikes, self._wrong = 0, min(self._wrong + 1, _WRONG_MAX)
        self._wrong_us = self._looked_us or 0
        # What it shows is not ours, and yet nothing is missing: from now on only what changes counts.
        self._other, self._has_ids, self._settled = self._before.last, False, None
        self._has_volume = self._has_volume and not self._is_by_volume

    def confirm(self) -> None:
        """Take note that trades had been missed indeed."""
        self._pending.clear()
        self._strikes, self._wrong, self._settled = 0, 0, None

    def _came(self, here: Here, seen: There, steady_us: int) -> None:
        for age_us, agrees in self._pending:
            self._lag.observe(age_us=age_us, agrees=agrees)
        self._pending.clear()
        self._arrivals, self._since_us, self._strikes = here.arrivals, steady_us, 0
        self._reference = seen.last if here.price is None else here.price
        self._other = None

    def _age_us(self, here: Here, now_us: int, steady_us: int) -> int:
        # A wall clock that was set back must not make a silence look young for ever, one set forward not old at once.
        waited_us = steady_us - self._since_us
        since_look_us = steady_us - self._looked_us if self._looked_us is not None else waited_us
        if here.at_us is None:
            return waited_us
        return max(waited_us, min(now_us - here.at_us, waited_us + max(since_look_us, self._lag.every_us)))

    def _shows_more(self, here: Here, seen: There, age_us: int) -> bool:
        if seen.last_id is not None and here.key > 0:
            if self._has_ids and here.key < seen.last_id:
                return True
            # Streams of aggregates count otherwise than tickers: ids say something once ours was not behind.
            self._has_ids = self._has_ids or here.key >= seen.last_id
        quiet_us = self._lag.us + self._lag.every_us // _SLACK_SHARE
        if self._reference is None:
            self._reference = seen.last
        elif seen.last not in (None, self._reference, self._other) and age_us > quiet_us:
            return True
        self._is_by_volume = self._has_volume and self._has_grown(here, seen)
        if age_us > quiet_us:
            # All that is ours is in the ticker: what is in there from now on can be told apart.
            self._settled = here, seen
        return self._is_by_volume

    def _has_grown(self, here: Here, seen: There) -> bool:
        if self._settled is None or self._settled[0].gap_us != here.gap_us:
            return False
        ours, theirs = self._settled
        if theirs.trades is not None and seen.trades is not None and seen.trades - theirs.trades > here.arrivals - ours.arrivals:
            return True
        if theirs.volume is None or seen.volume is None:
            return False
        grown = seen.volume - theirs.volume - _RISE * seen.volume
        if here.total is None or ours.total is None:
            return grown > 0.0 and here.arrivals == ours.arrivals
        return grown > here.total - ours.total

    def _note(self, here: Here, seen: There, age_us: int) -> None:
        if here.price is not None and seen.last is not None and len(self._pending) < _PENDING_MAX:
            self._pending.append((age_us, seen.last == self._reference))


def _number(value: object) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < float("inf") else None  # type: ignore[operator,arg-type]  # is_number


def _whole(value: object) -> int | None:
    if isinstance(value, str) and value.isdecimal() and len(value) < 19:  # noqa: PLR2004 - what a 63-bit key holds
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
