"""What is said of guard.yaml and its rules together: rules that can never fire on what is watched, and secrets in plain text."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from guard.dsl.document import Items, Node, Scalar, Table
from guard.dsl.possible import possible
from guard.model import RuleMode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guard.dsl.graph import Graph
    from guard.dsl.problems import Place, Report
    from guard.dsl.program import Program
    from guard.dsl.rule import Plan, Rule
    from guard.dsl.rules import RuleSet, RuleSource
    from guard.dsl.settings import ExchangeSettings, GuardConfig

__all__ = ["lint_config", "lint_secrets"]

_STREAMS: Final = frozenset({"trades", "book"})
_KEY_WORDS: Final = re.compile(r"(secret|token|passw|passphrase|api_?key|private_?key|credential)", re.IGNORECASE)
_SPLIT: Final = re.compile(r"[/:@?&=,]+")
_TOKEN_MIN: Final = 16
_PATTERN_MAX: Final = 128


def lint_config(config: GuardConfig, rules: RuleSet, program: Program, report: Report) -> None:
    """Report rules that no exchange of guard.yaml gives what they need."""
    sources = {source.id: source for source in rules.rules}
    for rule, plan in zip(program.rules, program._plans, strict=True):  # noqa: SLF001 - a part of the language
        if rule.mode is RuleMode.DISABLED:
            continue
        source = sources[rule.id]
        scoped = {name: exchange for name, exchange in config.exchanges.items() if _looks_at(rule, name, exchange)}
        if not scoped:
            _tell_scope(config, rule, source, report)
        elif not any(_can_fire(program._graph, rule, plan, exchange) for exchange in scoped.values()):  # noqa: SLF001 - likewise
            streams = program._graph.streams  # noqa: SLF001 - likewise
            _tell_streams((streams[plan.fires] | streams[plan.score]) & _STREAMS, rule, source, scoped, report)


def _looks_at(rule: Rule, name: str, exchange: ExchangeSettings) -> bool:
    """Whether the scope of a rule may hold a market that is watched there."""
    scope = rule.scope
    if scope.exchange and not any(meet(pattern, name) for pattern in scope.exchange):
        return False
    if scope.quote and exchange.quotes and not set(scope.quote) & set(exchange.quotes):
        return False
    left_out = (*scope.exclude, *exchange.exclude)
    return any(
        meet(wanted, watched)
        for wanted in scope.symbol
        for watched in exchange.markets
        if not {wanted, watched, "*"} & set(left_out)
    )


def _tell_scope(config: GuardConfig, rule: Rule, source: RuleSource, report: Report) -> None:
    names = ", ".join(config.exchanges)
    scope, place = rule.scope, _scope_place(source, "symbol")
    what = f"symbol {', '.join(scope.symbol)}"
    if scope.exchange and not any(meet(pattern, name) for pattern in scope.exchange for name in config.exchanges):
        what, place = f"exchange {', '.join(scope.exchange)}", _scope_place(source, "exchange")
    message = f"the scope of {rule.id} ({what}) holds nothing that guard.yaml watches on {names}"
    report.add("W014", place, message, "exchanges are named as in guard.yaml, symbols as BASE/QUOTE; or leave the rule out")


def _scope_place(source: RuleSource, key: str) -> Place:
    scope = source.node.entries.get("scope")
    entry = scope.node.entries.get(key) if scope is not None and isinstance(scope.node, Table) else None
    return source.place if entry is None else entry.node.place


def _tell_streams(
    streams: frozenset[str], rule: Rule, source: RuleSource, scoped: dict[str, ExchangeSettings], report: Report
) -> None:
    missing = (
        ", ".join(sorted(streams - frozenset().union(*(exchange.streams for exchange in scoped.values())))) or "another stream"
    )
    message = f"{rule.id} can never fire: it needs {missing}, to which no exchange in its scope subscribes ({', '.join(scoped)})"
    report.add("W013", source.place, message, "streams: [trades, book] in guard.yaml, or leave the rule out")


def _can_fire(graph: Graph, rule: Rule, plan: Plan, exchange: ExchangeSettings) -> bool:
    """Whether a rule can fire and have a score where only these streams arrive."""
    missing = _STREAMS - frozenset(exchange.streams)
    if not missing:
        return True
    absent = [bool(factor.streams & missing) for factor in rule.factors]
    has_score = not rule.factors or any(not (factor.is_optional or gone) for factor, gone in zip(rule.factors, absent, strict=True))
    if not has_score:
        return False
    # What rests on streams that never arrive is unknown for ever.
    return possible(graph, (plan.fires,), lambda leaf: bool(graph.streams[leaf] & missing)).can_hold(plan.fires)


@lru_cache(maxsize=4096)
def meet(one: str, other: str) -> bool:
    """Whether some text fits both patterns; long ones are taken to do so.

    Examples
    --------
    >>> meet("*/USDT", "BTC/*"), meet("*/USDT", "*/USDC"), meet("kucoin", "ku*")
    (True, False, True)
    """
    if max(len(one), len(other)) > _PATTERN_MAX:
        return True
    # row[j]: whether what is left of `one` and what is left of `other` from j on can be the same text.
    row = [not other[at:].strip("*") for at in range(len(other) + 1)]
    for char in reversed(one):
        before, row = row, [False] * (len(other) + 1)
        row[-1] = char == "*" and before[-1]
        for at in range(len(other) - 1, -1, -1):
            if "*" in (char, other[at]):
                row[at] = (char == "*" and (before[at] or row[at + 1])) or (other[at] == "*" and (row[at + 1] or before[at]))
            else:
                row[at] = (char == other[at] or "?" in (char, other[at])) and before[at + 1]
    return row[0]


def lint_secrets(root: Table, report: Report) -> None:
    """Report addresses with a token, and keys of an exchange, that are written out in guard.yaml."""
    for path, node in _scalars(root, ()):
        if not isinstance(node.value, str) or "${" in node.text or not node.text:
            continue
        if path[:2] == ("alerts", "channels") and path[-1] == "url" and _has_token(node.text):
            message = f"the address of the channel {path[2]} holds a secret in plain text"
            report.add("W016", node.place._replace(is_hidden=True), message, 'put it into a variable: url: "${env:NAME}"')
        elif path[:1] == ("exchanges",) and "options" in path and _KEY_WORDS.search(path[-1]):
            message = f"{path[-1]} is written in plain text, and guard needs no keys: it reads public data only"
            report.add("W016", node.place._replace(is_hidden=True), message, "remove it")
        elif path[-1] in {"password", "token"} and (
            (path[:1] == ("exchanges",) and "from_bot" in path) or (path[:1] == ("bots",) and path[2:3] == ("locks",))
        ):
            message = f"the {path[-1]} of the bot's interface is written in plain text"
            report.add("W016", node.place._replace(is_hidden=True), message, f'put it into a variable: {path[-1]}: "${{env:NAME}}"')


def _scalars(node: Node, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Scalar]]:
    match node:
        case Table():
            for key, entry in node.entries.items():
                yield from _scalars(entry.node, (*path, key))
        case Items():
            for item in node.items:
                yield from _scalars(item, path)
        case Scalar():
            yield path, node


def _has_token(address: str) -> bool:
    """Whether an address holds a password or something long that looks like a token."""
    rest = address.partition("://")[2] or address
    if re.match(r"[^/@\s]*:[^/@\s]+@", rest):
        return True
    return any(map(_is_token, _SPLIT.split(rest)))


def _is_token(word: str) -> bool:
    plain: Sequence[str] = [char for char in word if char.isalnum()]
    has_both = any(char.isdigit() for char in plain) and any(char.isalpha() for char in plain)
    return len(plain) >= _TOKEN_MIN and has_both and "." not in word
