"""The words of an expression."""

from __future__ import annotations

import re
from math import isfinite
from typing import Any, NamedTuple

from guard.features.tables import Unit

__all__ = ["TOKENS_MAX", "UNITS", "ExpressionError", "Token", "quantity", "tokenize", "written_quantity"]

TOKENS_MAX = 400
_CHARACTERS_MAX = 8_000
_WORD_MAX = 80
_NUMBER_MAX = 40

UNITS: dict[str, tuple[Unit, float, float]] = {
    "": (Unit.NONE, 1.0, 1.0),
    "x": (Unit.NONE, 1.0, 1.0),
    "k": (Unit.NONE, 1e3, 1.0),
    "M": (Unit.NONE, 1e6, 1.0),
    "B": (Unit.NONE, 1e9, 1.0),
    "%": (Unit.RATIO, 1.0, 1e2),
    "bp": (Unit.RATIO, 1.0, 1e4),
    "ms": (Unit.DURATION, 1e3, 1.0),
    "s": (Unit.DURATION, 1e6, 1.0),
    "m": (Unit.DURATION, 6e7, 1.0),
    "h": (Unit.DURATION, 3.6e9, 1.0),
    "d": (Unit.DURATION, 8.64e10, 1.0),
}
"""Suffix -> (unit, multiplier, divisor). Ratios are divided: 29 / 100 is the nearest float to 29 %, 29 * 0.01 is not."""

_PATTERN = re.compile(
    r"""
  \s*(?:
    (?P<number>[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?(?:%|[A-Za-z_][A-Za-z_0-9]*)?)
  | (?P<name>[A-Za-z_][A-Za-z_0-9]*(?:\.[A-Za-z_][A-Za-z_0-9]*)?)
  | (?P<list>\$[A-Za-z_][A-Za-z_0-9]*)
  | (?P<text>'[^'\n]*'|"[^"\n]*")
  | (?P<operator><=|>=|==|!=|&&|\|\||\*\*|[-+*/<>=()\[\],])
  | (?P<end>\Z)
  )
    """,
    re.VERBOSE,
)
_NUMBERS_MAX = 4096
# What was read before: of the numbers of a file nearly all are written many times.
_NUMBERS: dict[str, tuple[float, Unit]] = {}
_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)(.*)\Z", re.DOTALL)
_WRITE_INSTEAD = {
    "&&": "write: and",
    "||": "write: or",
    "!": "write: not",
    "&": "write: and",
    "|": "write: or",
    "**": "there is no power; multiply",
    "^": "there is no power; multiply",
    "≥": "write: >=",
    "≤": "write: <=",
    "≠": "write: !=",
    "%": "a percentage is written without a blank: 3%",
    "“": "write straight quotes: '...'",
    "”": "write straight quotes: '...'",
    "‘": "write straight quotes: '...'",
    "’": "write straight quotes: '...'",
    "−": "write a plain minus: -",
    "–": "write a plain minus: -",
    "×": "write: *",
    "÷": "write: /",
    "#": "a comment stands after a blank and outside of quotes",
    "{": "quote the whole expression, and write no { } in it",
    ";": "arguments are parted by commas",
    ":": "quote a symbol with a colon: 'BTC/USDT:USDT'",
    "?": "there is no choice inside an expression; use two rules, or ramp()",
}


class ExpressionError(Exception):
    """An expression that cannot be read; `start` is the offset of the mistake in its text."""

    def __init__(self, code: str, start: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.start = start
        self.message = message
        self.hint = hint


class Token(NamedTuple):
    """One word. `kind` is number, name, list, text, operator or end; `value` and `unit` belong to numbers."""

    kind: str
    text: str
    start: int
    end: int
    value: float = 0.0
    unit: Unit = Unit.NONE


_new: Any = tuple.__new__


def tokenize(text: str) -> tuple[Token, ...]:
    """Cut `text` into at most `TOKENS_MAX` words, closed by an end token. Raises ExpressionError."""
    if len(text) > _CHARACTERS_MAX:
        raise ExpressionError("E041", 0, f"an expression has at most {_CHARACTERS_MAX} characters, found {len(text)}")
    tokens: list[Token] = []
    at = 0
    for match in iter(_PATTERN.scanner(text).match, None):  # type: ignore[attr-defined] # typeshed does not know it
        kind: str = match.lastgroup
        start, at = match.span(kind)
        if kind == "end":
            return (*tokens, Token("end", "", len(text.rstrip()), at))
        if len(tokens) >= TOKENS_MAX:
            raise ExpressionError("E041", start, f"an expression has at most {TOKENS_MAX} words", "split it with let: or macros:")
        word: str = match[kind]
        if at - start > _WORD_MAX:
            tokens.append(_token(kind, word, start, at))
        elif kind == "name" or (kind == "operator" and word not in _WRITE_INSTEAD):
            tokens.append(_new(Token, (kind, word, start, at, 0.0, Unit.NONE)))
        elif word in _NUMBERS:
            value, unit = _NUMBERS[word]
            tokens.append(_new(Token, (kind, word, start, at, value, unit)))
        else:
            tokens.append(_token(kind, word, start, at))
    raise _odd(text, len(text) - len(text[at:].lstrip()))


def _token(kind: str, word: str, start: int, end: int) -> Token:
    if len(word) > _WORD_MAX:
        raise ExpressionError("E041", start, f"a word has at most {_WORD_MAX} characters, found {len(word)}")
    if kind == "number":
        value, unit = _number(word, start)
        return Token(kind, word, start, end, value, unit)
    if kind == "operator" and word in _WRITE_INSTEAD:
        raise ExpressionError("E040", start, f"{word!r} is not an operator here", _WRITE_INSTEAD[word])
    return Token(kind, word[1:-1] if kind == "text" else word[1:] if kind == "list" else word, start, end)


def _odd(text: str, at: int) -> ExpressionError:
    char = text[at]
    if char in "'\"":
        return ExpressionError("E040", at, "a quote is opened but not closed")
    hint = _WRITE_INSTEAD.get(char, "")
    if char == ".":
        is_number = text[at + 1 : at + 2].isdecimal()
        hint = f"write 0{text[at : at + 2]}" if is_number else "nothing has attributes but market and the detectors under use:"
    elif not char.isprintable() or char.isspace():
        hint = "an invisible character: delete it"
    return ExpressionError("E040", at, f"{char!r} has no meaning here", hint)


_ALIASES = {
    "bps": "bp", "K": "k", "m": "M", "mm": "M", "b": "B", "sec": "s", "secs": "s", "min": "m", "mins": "m", "hr": "h", "hrs": "h",
    "hour": "h", "hours": "h", "day": "d", "days": "d", "D": "d", "H": "h", "S": "s", "X": "x",
    "pct": "%", "percent": "%", "MS": "ms",
}  # fmt: skip


def _unit_hint(digits: str, suffix: str) -> str:
    if suffix in _ALIASES:
        return f"did you mean {digits}{_ALIASES[suffix]}?"
    if suffix.isupper() and len(suffix) > 2:  # noqa: PLR2004 - no unit has three letters
        return f"quote a symbol that starts with a digit: '{digits}{suffix}/USDT'"
    return f"units: {', '.join(name for name in UNITS if name)}"


def _number(word: str, start: int) -> tuple[float, Unit]:
    match = _NUMBER.match(word)
    assert match is not None
    digits, suffix = match.groups()
    if suffix not in UNITS:
        raise ExpressionError("E040", start, f"{suffix!r} is not a unit", _unit_hint(digits, suffix))
    unit, times, over = UNITS[suffix]
    value = float(digits) * times / over if len(digits) <= _NUMBER_MAX else float("inf")
    if value == float("inf"):
        raise ExpressionError("E040", start, "the number is too large")
    if len(_NUMBERS) >= _NUMBERS_MAX:
        _NUMBERS.clear()
    _NUMBERS[word] = value, unit
    return value, unit


def quantity(text: str) -> tuple[float, Unit] | None:
    """Return value and unit of a number with a unit, None where `text` is something else.

    Examples
    --------
    >>> quantity("30bp"), quantity("10s"), quantity("-4%"), quantity("BTC")
    ((0.003, <Unit.RATIO: 'ratio'>), (10000000.0, <Unit.DURATION: 'duration'>), (-0.04, <Unit.RATIO: 'ratio'>), None)
    """
    word = text.strip()
    sign = -1.0 if word.startswith("-") else 1.0
    word = word.removeprefix("-")
    if not word or not word[0].isdecimal() or not word.isascii() or _NUMBER.match(word) is None:
        return None
    try:
        value, unit = _number(word, 0)
    except ExpressionError:
        return None
    return sign * value, unit


def written_quantity(value: float, unit: Unit) -> str:
    """Return a constant as a person would write it: ``30m``, ``2%``, ``0.5``.

    Examples
    --------
    >>> written_quantity(90e6, Unit.DURATION), written_quantity(0.003, Unit.RATIO), written_quantity(8.0, Unit.COUNT)
    ('90s', '0.3%', '8')
    """
    if unit is Unit.RATIO:
        return f"{value * 100:.10g}%"
    if unit is not Unit.DURATION or not isfinite(value):
        return f"{value:.12g}"
    for suffix in ("d", "h", "m", "s", "ms"):
        count = value / UNITS[suffix][1]
        if count == int(count) and count != 0:
            return f"{int(count)}{suffix}"
    return f"{value / 1e6:.9g}s"
