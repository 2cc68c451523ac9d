"""What is said of ``allow:``, ``lists:`` and ``aliases:`` in guard.yaml: names without a bearer, and entries that are over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.dsl.config_lint import meet
from guard.dsl.document import Items, Node, Scalar, find
from guard.dsl.problems import did_you_mean
from guard.model.assets import asset_in, symbol_in
from guard.model.moments import utc

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from guard.dsl.document import Table
    from guard.dsl.problems import Place, Report
    from guard.dsl.settings import AllowEntry, ExchangeSettings, GuardConfig

__all__ = ["lint_allowed_rules", "lint_names"]

_PATTERN: Final = frozenset("*?")
# An exchange may count thousands: 1000PEPE is PEPE.
_COUNTS: Final = ("", "1000", "10000", "1000000", "1M", "k")


def lint_names(config: GuardConfig, tree: Table, report: Report, *, now_us: int) -> None:
    """Report exchanges and markets that guard.yaml does not watch, and allow entries that were over at `now_us`."""
    names = _Names(config, report)
    for number, entry in enumerate(config.allow):
        node = find(tree, ("allow", number))[0].node
        _lint_target(names, entry, node)
        if entry.until_us is not None and entry.until_us <= now_us:
            place = find(node, ("until",))[0].node.place
            message = f"this entry allows nothing any more: it ended at {utc(entry.until_us)}"
            report.add("W099", place, message, "give it a later until:, or remove it")
    for name, settings in config.lists.items():
        if settings.exchange is not None:
            names.has_exchange(settings.exchange, find(tree, ("lists", name, "exchange"))[0].node.place, f"the list {name}")
    for key in config.aliases:
        exchange, colon, base = key.rpartition(":")
        place = find(tree, ("aliases", key))[0].key
        if not colon or names.has_exchange(exchange, place, "the alias"):
            names.has_markets(f"{base}/*", exchange, place, f"the alias {key!r}")


def lint_allowed_rules(config: GuardConfig, tree: Table, rules: Iterable[str], report: Report) -> None:
    """Report rules of allow entries that there are not: such an entry overrides nothing."""
    known = {*rules, *(f"list:{name}" for name in config.lists)}
    for number, entry in enumerate(config.allow):
        for word in _scalars(find(tree, ("allow", number, "rules"))[0].node if entry.rules else None):
            text = str(word.value)
            if text not in known:
                message = f"this entry overrides the rule {text!r}, which there is not"
                report.add("W100", word.place, message, did_you_mean(text, known))


def _lint_target(names: _Names, entry: AllowEntry, node: Node) -> None:
    if entry.market is not None:
        exchange, _, symbol = entry.market.partition(":")
        place = find(node, ("market",))[0].node.place
        if names.has_exchange(exchange, place, "this entry"):
            names.has_markets(symbol, exchange, place, "this entry")
    elif entry.symbol is not None:
        names.has_markets(entry.symbol, "", find(node, ("symbol",))[0].node.place, "this entry")
    elif entry.base is not None:
        names.has_markets(f"{entry.base}/*", "", find(node, ("base",))[0].node.place, "this entry")


class _Names:
    """The exchanges of guard.yaml, and which markets are watched there, as far as the file tells."""

    def __init__(self, config: GuardConfig, report: Report) -> None:
        self._exchanges: Mapping[str, ExchangeSettings] = config.exchanges
        self._aliases: Mapping[str, str] = config.aliases
        self._report = report

    def has_exchange(self, name: str, place: Place, who: str) -> bool:
        """Report an exchange that is not in guard.yaml; returns whether it is."""
        if name in self._exchanges:
            return True
        message = f"{who} names the exchange {name!r}, which guard.yaml does not have"
        self._report.add("W097", place, message, did_you_mean(name, self._exchanges))
        return False

    def has_markets(self, symbol: str, exchange: str, place: Place, who: str) -> None:
        """Report a symbol, or ``BASE/*``, that no exchange (or the one named) watches; one that a bot chooses for may watch it."""
        asked = {exchange: self._exchanges[exchange]} if exchange else self._exchanges
        if any(settings.from_bot is not None or self._may_watch(name, settings, symbol) for name, settings in asked.items()):
            return
        shown = symbol.removesuffix("/*")
        message = f"{who} names {shown}, which is not watched on {exchange or ', '.join(asked)}"
        written = {pattern for settings in asked.values() for pattern in settings.markets if _PATTERN.isdisjoint(pattern)}
        near = written if shown == symbol else {pattern.partition("/")[0] for pattern in written}
        self._report.add("W098", place, message, did_you_mean(shown, near) or "compare it with markets: and exclude:")

    def _may_watch(self, exchange: str, settings: ExchangeSettings, symbol: str) -> bool:
        if symbol in settings.exclude:
            return False
        quote = symbol.partition("/")[2].partition(":")[0]
        if settings.quotes and quote not in ("*", *settings.quotes):
            return False
        # The market leader is watched whatever stands there.
        watched = (*settings.markets, settings.reference or "BTC/*")
        spellings = [f"{count}{symbol}" for count in _COUNTS]
        return any(
            self._is_same(exchange, pattern, symbol) or any(meet(pattern, spelling) for spelling in spellings)
            for pattern in watched
        )

    def _is_same(self, exchange: str, written: str, symbol: str) -> bool:
        if not _PATTERN.isdisjoint(written):
            return False
        if symbol.endswith("/*"):
            one, other = (asset_in(exchange, each.partition("/")[0], self._aliases) for each in (written, symbol))
            return one == other
        return symbol_in(exchange, written, self._aliases) == symbol_in(exchange, symbol, self._aliases)


def _scalars(node: Node | None) -> Iterator[Scalar]:
    for item in node.items if isinstance(node, Items) else (node,):
        if isinstance(item, Scalar):
            yield item
