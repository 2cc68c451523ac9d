"""guard in a Freqtrade strategy, in three lines.

    from guard.client.freqtrade import GuardMixin

    class MyStrategy(GuardMixin, IStrategy):
        guard_bot = "my-bot"  # its name in guard.yaml; leave it out and Freqtrade's bot_name counts

Entries, additions to a position and replaced entry orders ask guard first. Exits are never touched.
"""

from __future__ import annotations

import logging
from functools import partial, wraps
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from guard.client import Guard
from guard.client.freqtrade_trades import grows, limited, open_sides, side_of
from guard.client.reports import count_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from guard.client import Clearance

__all__ = ["GuardMixin", "exchange_name"]

_log = logging.getLogger("guard.freqtrade")

# Freqtrade is not installed where guard is: a strategy, a trade and what a hook returns are whatever they are.
_Strategy: TypeAlias = Any
_Value: TypeAlias = Any
_Words: TypeAlias = "dict[str, Any]"

_ACTS_IN: Final = frozenset({"live", "dry_run"})
_BINDING: Final = "enforce"
_SAID_MAX: Final = 4096
_SHOWN_MAX: Final = 10
_REPORT_S: Final = 10.0
_SAME: Final = {"gateio": "gate", "okex": "okx", "huobi": "htx", "huboi": "htx"}
_FUTURES: Final = ("{}usdm", "{}futures", "{}-futures", "{}_futures", "{}-usdm", "{}_usdm")


def exchange_name(config: Mapping[str, Any], names: Iterable[str]) -> str | None:
    """Return which of guard's `names` is the exchange of a Freqtrade configuration, None where none is.

    Examples
    --------
    >>> exchange_name({"exchange": {"name": "binance"}, "trading_mode": "futures"}, ["binanceusdm", "okx"])
    'binanceusdm'
    >>> exchange_name({"exchange": {"name": "gateio"}}, ["gate"]), exchange_name({"exchange": {"name": "kraken"}}, ["gate"])
    ('gate', None)
    """
    known = {name.lower(): name for name in names}
    own = str((config.get("exchange") or {}).get("name") or "").lower()
    plain = [own, _SAME.get(own, own), *(old for old, new in _SAME.items() if new == own)]
    is_futures = str(config.get("trading_mode") or "").rpartition(".")[2].lower() == "futures"
    futures = [form.format(name) for name in plain for form in _FUTURES] if is_futures else []
    return next((known[name] for name in (*futures, *plain) if name in known), None)


class GuardMixin:
    """Ask guard before each entry of a Freqtrade strategy.

    Parameters
    ----------
    guard_path
        State folder or snapshot file of guard; None finds it as `Guard` does.
    guard_bot
        Name of this bot in guard.yaml; None takes Freqtrade's ``bot_name``.
    guard_exchange
        Name of the exchange in guard.yaml; None takes the one that fits the configuration's exchange.
    guard_cancels
        Cancel entry orders that still wait when their market is blocked. Default True.

    Notes
    -----
    The three names may also stand in the configuration: ``"guard": {"path": ..., "bot": ..., "exchange": ...}``.

    Acts in live and dry-run alone; in backtesting, hyperopt and the rest every call goes straight to the strategy. It may stand
    before or after ``IStrategy``, and a strategy that overrides a hook without ``super()`` is asked about all the same: the hooks
    are wrapped when the class is made. Whatever goes wrong in guard's own part refuses the entry where the mode is enforce or not
    known, and is logged: Freqtrade would take an exception for a yes. ``confirm_trade_exit``, stop losses and negative
    adjustments are not touched.
    """

    guard_path: str | None = None
    guard_bot: str | None = None
    guard_exchange: str | None = None
    guard_cancels: bool = True

    def __init_subclass__(cls, **words: Any) -> None:  # noqa: ANN401 - whatever another base takes
        """Wrap the hooks of a strategy that is being made."""
        super().__init_subclass__(**words)
        for name in _HOOKS:
            found = next((each.__dict__[name] for each in cls.__mro__ if name in each.__dict__), None)
            if found is None or hasattr(found, "guard_hook"):
                continue
            # Freqtrade refuses a strategy that has both ways of moving an order: only the one in use is wrapped.
            if name in _PRICES and str(getattr(found, "__module__", "")).startswith("freqtrade."):
                continue
            setattr(cls, name, _wrapped(name, found))


def _wrapped(name: str, found: _Value) -> Callable[..., Any]:
    arguments, hook = _HOOKS[name]

    @wraps(found)
    def guarded(self: _Strategy, *values: _Value, **words: _Value) -> _Value:
        call = partial(found.__get__(self, type(self)), *values, **words)
        effective = getattr(type(self), name, None)
        # A strategy's own super() ends in the wrapper of a base: the order is asked about once.
        if (effective is not guarded and hasattr(effective, "guard_hook")) or not _acts(self):
            return call()
        return hook(_gate(self), call, {**dict(zip(arguments, values, strict=False)), **words})

    guarded.guard_hook = name  # type: ignore[attr-defined] # read by the next subclass, and by the gate
    return guarded


def _acts(strategy: _Strategy) -> bool:
    try:
        mode = strategy.config.get("runmode")
    except Exception:  # noqa: BLE001 - a strategy that cannot say where it runs is one that trades
        return True
    return mode is None or str(getattr(mode, "value", mode)) in _ACTS_IN


def _gate(strategy: _Strategy) -> _Gate:
    gate = strategy.__dict__.get("_guard_gate")
    if gate is None:
        gate = strategy.__dict__["_guard_gate"] = _Gate(strategy)
    return gate  # type: ignore[no-any-return] # a strategy's attributes are untyped


class _Gate:
    """What one running strategy knows of guard. No method raises."""

    def __init__(self, strategy: _Strategy) -> None:
        self.strategy = strategy
        self.guard: Guard | None = None
        self.exchange = ""
        self._fault: str | None = None
        self._error = self._problem = ""
        self._unwatched: frozenset[str] = frozenset()
        self._said: set[tuple[str, ...]] = set()
        self._reported: _Value = None
        try:
            self._open()
        except Exception as error:  # noqa: BLE001 - an exception in a hook would approve the trade
            self._fail("start", error)

    def ask(self, pair: _Value, side: _Value, intent: str) -> Clearance | None:
        """Return guard's answer, None where guard's client itself failed."""
        try:
            if self.guard is None:
                self._open()
            assert self.guard is not None
            clearance = self.guard.check(self.exchange, pair, "sell" if side == "short" else "buy", intent)
            if clearance.would_block or not clearance.permitted:
                self._say(pair, intent, clearance)
        except Exception as error:  # noqa: BLE001 - likewise
            self._fail("check", error)
            return None
        return clearance

    def refuses(self, pair: _Value, side: _Value, intent: str) -> bool:
        """Whether an order must not go out; an entry is counted."""
        clearance = self.ask(pair, side, intent)
        if intent == "open":
            count_entry(self.guard, self.exchange, pair, clearance)
        return self._is_refused(clearance)

    def refuses_growth(self, pair: _Value) -> bool:
        """Whether what is open of `pair` may not grow; where nothing is open, whether it may be entered on neither side."""
        try:
            held = open_sides(pair)
        except Exception as error:  # noqa: BLE001 - an exception here would end the bot's loop
            self._fail("trades", error)
            held = ("long", "short")
        sides = held or (("long", "short") if ":" in str(pair) else ("long",))
        found = [self.refuses(pair, side, "increase") for side in sides]
        return any(found) if held else all(found)

    def fraction(self, pair: _Value, side: _Value, intent: str) -> float:
        """Return the part of a stake that may be spent, 0.0 where none may."""
        clearance = self.ask(pair, side, intent)
        # An entry of which a part is left comes by once more, to be confirmed.
        if intent != "open" or self._is_refused(clearance):
            count_entry(self.guard, self.exchange, pair, clearance)
        if self._is_refused(clearance):
            return 0.0
        return 1.0 if clearance is None else min(1.0, max(0.0, clearance.max_fraction))

    def blocks(self, pair: _Value, side: _Value) -> bool:
        """Whether a block, and not mere silence, refuses entries."""
        clearance = self.ask(pair, side, "open")
        return clearance is not None and not clearance.permitted and str(clearance.status) == "blocked"

    def refresh(self, now: _Value) -> None:
        """Look at guard, and tell what is wrong with it; once, not each loop."""
        try:
            if self.guard is None:
                self._open()
            self._name_exchange()
            self._watch_wallets()
            self._tell(self._wrong())
            self._tell_unwatched()
            self._report(now)
        except Exception as error:  # noqa: BLE001 - a loop of the bot never depends on this
            self._fail("refresh", error)

    def _open(self) -> None:
        strategy, settings = self.strategy, self._settings()
        bot = strategy.guard_bot or settings.get("bot") or strategy.config.get("bot_name")
        self.guard = Guard(strategy.guard_path or settings.get("path"), str(bot) if bot else None)
        self._name_exchange()
        self._fault = None
        _log.info("guard: bot %s on %s, %s, mode %s", bot, self.exchange, self.guard.places.snapshot, self.guard.mode)

    def _settings(self) -> Mapping[str, Any]:
        settings = self.strategy.config.get("guard")
        return settings if isinstance(settings, dict) else {}

    def _name_exchange(self) -> None:
        config = self.strategy.config
        named = self.strategy.guard_exchange or self._settings().get("exchange")
        found = named or exchange_name(config, self._names())
        self.exchange = str(found or (config.get("exchange") or {}).get("name") or "")

    def _names(self) -> frozenset[str]:
        return getattr(self.guard, "exchanges", frozenset())

    def _is_refused(self, clearance: Clearance | None) -> bool:
        if clearance is not None:
            return not clearance.permitted
        try:
            mode = None if self.guard is None else self.guard.mode
        except Exception:  # noqa: BLE001 - what is not known binds
            mode = None
        return mode is None or str(mode) == _BINDING

    def _wrong(self) -> str | None:
        guard, names = self.guard, self._names()
        problem = self._fault if guard is None else guard.problem
        if problem is None and names and self.exchange not in names:
            problem = (
                f"guard.yaml has {', '.join(sorted(names))}, this bot trades on {self.exchange}: nothing it trades is watched; "
                'set guard_exchange in the strategy, or "guard": {"exchange": ...} in the configuration'
            )
        loose = [
            name for name in _HOOKS if name not in _PRICES and not hasattr(getattr(type(self.strategy), name, None), "guard_hook")
        ]
        if problem is None and loose:
            problem = f"{', '.join(loose)} of the strategy were replaced after its class was made: guard is not asked there"
        return problem

    def _tell(self, problem: str | None) -> None:
        # Ages and counts move all the time: the same trouble is told once.
        gist = "".join(letter for letter in problem or "" if not letter.isdigit())
        if gist == self._problem:
            return
        self._problem = gist
        text = "guard answers again" if problem is None else f"guard: {problem}"
        (_log.info if problem is None else _log.error)(text)
        self._send(text)

    def _tell_unwatched(self) -> None:
        pairs = self.strategy.dp.current_whitelist() if getattr(self.strategy, "dp", None) else ()
        if self.guard is None or self._problem:
            return
        check, exchange = self.guard.check, self.exchange
        unwatched = frozenset(pair for pair in pairs if check(exchange, pair, "buy", "open").reason == "not_watched")
        if unwatched - self._unwatched:
            shown = sorted(unwatched)
            more = f" and {len(shown) - _SHOWN_MAX} more" if len(shown) > _SHOWN_MAX else ""
            _log.warning("guard does not watch %s%s; look at `guard doctor --bot freqtrade`", ", ".join(shown[:_SHOWN_MAX]), more)
        self._unwatched = unwatched

    def _report(self, now: _Value) -> None:
        report = getattr(self.guard, "report", None)
        if report is None or now is None or (self._reported is not None and (now - self._reported).total_seconds() < _REPORT_S):
            return
        self._reported = now
        positions: dict[str, float] = {}
        for trade in import_module("freqtrade.persistence").Trade.get_open_trades():
            market = f"{self.exchange}:{trade.pair}"
            positions[market] = positions.get(market, 0.0) + float(trade.amount) * (-1.0 if trade.is_short else 1.0)
        report(positions=positions, bot_kind="freqtrade")

    def _watch_wallets(self) -> None:
        """Stand before the last step that every entry takes: a forced addition and a replaced order pass no other hook."""
        wallets = getattr(self.strategy, "wallets", None)
        size = getattr(wallets, "validate_stake_amount", None)
        if size is None or getattr(size, "guard_gate", None) is self:
            return

        @wraps(size)
        def guarded(*values: _Value, **words: _Value) -> _Value:
            return 0 if self.refuses_growth(words.get("pair", values[0] if values else "")) else size(*values, **words)

        guarded.guard_gate = self  # type: ignore[attr-defined] # told apart from another strategy's
        wallets.validate_stake_amount = guarded  # type: ignore[union-attr] # looked at above

    def _say(self, pair: _Value, intent: str, clearance: Clearance) -> None:
        key = (str(pair), intent, clearance.reason, str(clearance.quarantine_id), str(clearance.permitted))
        if key in self._said:
            return
        if len(self._said) >= _SAID_MAX:
            self._said.clear()
        self._said.add(key)
        held = f"{clearance.rule}: {clearance.reason} ({clearance.quarantine_id})" if clearance.rule else clearance.reason
        verb = "would refuse" if clearance.permitted else "refuses"
        _log.warning("guard %s to %s %s: %s; exits pass", verb, intent, pair, held)

    def _fail(self, where: str, error: Exception) -> None:
        if repr(error) != self._error:
            self._error = repr(error)
            self._fault = f"guard's part of the strategy failed at {where}: {error!r}; entries are refused in mode enforce"
            _log.error(self._fault)
            self._send(self._fault)

    def _send(self, text: str) -> None:
        try:
            self.strategy.dp.send_msg(text, always_send=True)
        except Exception:  # noqa: BLE001 - no data provider, or no messenger: the log has it
            _log.debug("guard: nobody to tell", exc_info=True)


def _confirm_trade_entry(gate: _Gate, call: Callable[[], Any], words: _Words) -> _Value:
    return False if gate.refuses(words.get("pair"), words.get("side"), "open") else call()


def _custom_stake_amount(gate: _Gate, call: Callable[[], Any], words: _Words) -> _Value:
    return limited(call(), gate.fraction(words.get("pair"), words.get("side"), "open"), words.get("min_stake"))


def _adjust_trade_position(gate: _Gate, call: Callable[[], Any], words: _Words) -> _Value:
    answer = call()
    stake, rest = (answer[0], answer[1:]) if isinstance(answer, tuple) and answer else (answer, None)
    if stake is None or not grows(stake):
        return answer
    trade = words.get("trade")
    kept = limited(stake, gate.fraction(getattr(trade, "pair", None), side_of(trade), "increase"), words.get("min_stake"))
    if not kept:
        return None
    return kept if rest is None else (kept, *rest)


def _bot_loop_start(gate: _Gate, call: Callable[[], Any], words: _Words) -> _Value:
    gate.refresh(words.get("current_time"))
    return call()


def _check_entry_timeout(gate: _Gate, call: Callable[[], Any], words: _Words) -> _Value:
    if gate.strategy.guard_cancels and gate.blocks(words.get("pair"), side_of(words.get("trade"))):
        return True
    return call()


def _adjust_price(gate: _Gate, call: Callable[[], Any], words: _Words) -> _Value:
    if words.get("is_entry") is False or not gate.refuses(words.get("pair"), words.get("side"), "increase"):
        return call()
    cancels = gate.strategy.guard_cancels and gate.blocks(words.get("pair"), words.get("side"))
    return None if cancels else words.get("current_order_rate")


_ENTRY = ("pair", "order_type", "amount", "rate", "time_in_force", "current_time", "entry_tag", "side")
_STAKE = (
    "pair", "current_time", "current_rate", "proposed_stake", "min_stake", "max_stake", "leverage", "entry_tag", "side",
)  # fmt: skip
_ADJUST = ("trade", "current_time", "current_rate", "current_profit", "min_stake", "max_stake")
_PRICE = ("trade", "order", "pair", "current_time", "proposed_rate", "current_order_rate", "entry_tag", "side", "is_entry")
_HOOKS: Final[Mapping[str, tuple[tuple[str, ...], Callable[[_Gate, Callable[[], Any], _Words], Any]]]] = {
    "confirm_trade_entry": (_ENTRY, _confirm_trade_entry),
    "custom_stake_amount": (_STAKE, _custom_stake_amount),
    "adjust_trade_position": (_ADJUST, _adjust_trade_position),
    "bot_loop_start": (("current_time",), _bot_loop_start),
    "check_entry_timeout": (("pair", "trade", "order", "current_time"), _check_entry_timeout),
    "adjust_entry_price": (_PRICE[:-1], _adjust_price),
    "adjust_order_price": (_PRICE, _adjust_price),
}
_PRICES: Final = frozenset({"adjust_entry_price", "adjust_order_price"})
