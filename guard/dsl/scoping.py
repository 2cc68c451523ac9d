"""By which key of its scope a rule looks at a market, or does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from guard.dsl.patterns import matches_any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guard.dsl.rule import Rule
    from guard.model import MarketFacts

__all__ = ["ScopeKey", "scope_keys"]


class ScopeKey(NamedTuple):
    """One key of a scope: whether it holds the market, what the market has, and what the rule allows."""

    key: str
    holds: bool
    found: str
    allowed: str


def scope_keys(rule: Rule, facts: MarketFacts) -> tuple[ScopeKey, ...]:
    """Return the keys that a rule's scope writes, in the order of the reference; all hold where `Rule.covers` says so."""
    scope, market = rule.scope, facts.market
    found = (
        [ScopeKey("mode", str(rule.mode) != "disabled", str(rule.mode), "shadow, alert, enforce")]
        if str(rule.mode) == "disabled"
        else []
    )
    if scope.exchange:
        found.append(_key("exchange", matches_any(scope.exchange, market.exchange), market.exchange, scope.exchange))
    found.append(_key("symbol", matches_any(scope.symbol, market.symbol), market.symbol, scope.symbol))
    if scope.exclude:
        is_out = matches_any(scope.exclude, market.symbol)
        found.append(ScopeKey("exclude", not is_out, market.symbol, f"none of {_words(scope.exclude)}"))
    if scope.quote:
        found.append(_key("quote", market.quote in scope.quote, market.quote, scope.quote))
    if scope.market_class:
        found.append(_key("class", facts.market_class in scope.market_class, str(facts.market_class), scope.market_class))
    if scope.tags:
        found.append(_key("tags", not facts.tags.isdisjoint(scope.tags), _words(sorted(facts.tags)) or "none", scope.tags))
    if not rule.works_on(facts):
        needs = " or ".join(dict.fromkeys(_words(sorted(factor.streams)) for factor in rule.factors if not factor.is_optional))
        found.append(ScopeKey("streams", holds=False, found=_words(sorted(facts.streams)) or "none", allowed=needs))
    return tuple(found)


def _key(name: str, holds: bool, found: str, allowed: Iterable[object]) -> ScopeKey:  # noqa: FBT001 - its fields in order
    return ScopeKey(name, holds, found, _words(allowed))


def _words(words: Iterable[object]) -> str:
    return ", ".join(map(str, words))
