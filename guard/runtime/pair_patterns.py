"""Freqtrade's patterns of pairs, without a regular expression: what is written in the few forms that people use is expanded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from guard.model import Target, TargetKind

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["PairPattern", "expanded", "pair_patterns"]

_ANY: Final = "\0"
_PLAIN: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/:_-")
_ESCAPED: Final = frozenset("./:_-+$*")
_CHOICES_MAX: Final = 200
_LENGTH_MAX: Final = 500


class PairPattern(NamedTuple):
    """Parts of a symbol, in capitals, with anything between them; one part means exactly this symbol.

    Examples
    --------
    >>> [str(each.target) for each in pair_patterns("(BNB|XRP)/.*")], pair_patterns(".*UP/USDT")[0].matches("ADAUP/USDT")
    (['base:BNB', 'base:XRP'], True)
    """

    parts: tuple[str, ...]

    @property
    def target(self) -> Target | None:
        """What it holds wherever it is traded, None where only the markets that are watched can tell."""
        if len(self.parts) == 1:
            return Target(TargetKind.SYMBOL, self.parts[0])
        first, *rest = self.parts
        is_base = rest == [""] and first.endswith("/") and len(first) > 1
        return Target(TargetKind.BASE, first[:-1]) if is_base and "/" not in first[:-1] else None

    def matches(self, symbol: str) -> bool:
        """Whether a whole symbol fits, whatever its capitals; takes time in proportion to its length and the number of parts."""
        text, first, last = symbol.upper(), self.parts[0], self.parts[-1]
        if len(self.parts) == 1:
            return text == first
        if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
            return False
        at, end = len(first), len(text) - len(last)
        for part in self.parts[1:-1]:
            at = text.find(part, at, end)
            if at < 0:
                return False
            at += len(part)
        return True


def pair_patterns(text: str) -> tuple[PairPattern, ...]:
    """Return what an entry of a pair_blacklist means: one pattern, or one for each choice of ``(A|B)``.

    Understood are symbols, ``.*``, one level of ``(A|B|C)``, an escaped character, ``^`` at the beginning and ``$`` at the end.
    Raises ValueError for everything else: it would need a regular expression, which text from outside may make run for ever.
    """
    if len(text) > _LENGTH_MAX:
        raise ValueError(f"an entry has {len(text)} characters, at most {_LENGTH_MAX} are read")
    body = text.removeprefix("^")
    if body.endswith("$") and not body.endswith("\\$"):
        body = body[:-1]
    found, rest = [""], body
    while rest:
        choices, rest = _next(rest, text)
        found = [before + choice for before in found for choice in choices]
        if len(found) > _CHOICES_MAX:
            raise ValueError(f"{text!r:.60} means more than {_CHOICES_MAX} symbols")
    return tuple(PairPattern(tuple(part.upper() for part in _squeezed(one).split(_ANY))) for one in found if one)


def _next(rest: str, text: str) -> tuple[tuple[str, ...], str]:
    """Return what may stand next, and what is left."""
    if rest.startswith(".*"):
        return (_ANY,), rest[2:]
    if rest[0] == "(":
        inside, closed, after = rest[1:].partition(")")
        if not closed or after[:1] in {"*", "+", "?", "{"}:
            raise _refused(text)
        return tuple(_flat(choice, text) for choice in inside.removeprefix("?:").split("|")), after
    if rest[0] == "\\" and rest[1:2] in _ESCAPED and len(rest) > 1:
        return (rest[1],), rest[2:]
    if rest[0] not in _PLAIN or rest[1:2] in {"*", "+", "?", "{"}:
        raise _refused(text)
    return (rest[0],), rest[1:]


def _flat(choice: str, text: str) -> str:
    found, rest = "", choice
    while rest:
        if rest[0] == "(":
            raise _refused(text)
        (one,), rest = _next(rest, text)
        found += one
    return found


def _squeezed(text: str) -> str:
    while _ANY * 2 in text:
        text = text.replace(_ANY * 2, _ANY)
    return text


def _refused(text: str) -> ValueError:
    return ValueError(f"{text!r:.60} is a regular expression of a form that is not read; write the pairs out, or use .* and (A|B)")


def expanded(patterns: Iterable[PairPattern], symbols: Iterable[str]) -> frozenset[str]:
    """Return which of some symbols fit one of the patterns."""
    wanted = tuple(patterns)
    return frozenset(symbol for symbol in symbols if any(pattern.matches(symbol) for pattern in wanted))
