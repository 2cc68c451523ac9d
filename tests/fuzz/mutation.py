"""Small damage to a text: what an editor, a merge or an enemy does to a file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

__all__ = ["mutated"]

_WORD = re.compile(r"[A-Za-z_0-9.%$]+|\s+|.", re.DOTALL)
_CHARACTERS = "\x00\t\n\r\x7f\x85\xa0\u2028\ufeff\ufffe\ud800\udfff🙂٣½ \"'#&*!|>%@`{}[](),:-?~<=.+/\\$_aZ09"
_NUMBERS = ("0", "-1", "1e308", "1e-320", "9" * 30, "0.0000001", "1e999", "010", ".5", "5.", "1_000", "nan", "inf")


def mutated(text: str, others: Sequence[str], words: Sequence[str], chance: Random, *, limit: int) -> str:
    """Return `text` with one to eight changes, at most `limit` characters."""
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 5, 8))):
        text = chance.choice(_CHANGES)(text, others, words, chance)[:limit]
    return text


def _spot(text: str, chance: Random) -> int:
    return chance.randrange(len(text) + 1)


def _span(text: str, chance: Random) -> tuple[int, int]:
    start = _spot(text, chance)
    return start, min(len(text), start + int(chance.expovariate(0.08)))


def _character(text: str, _others: Sequence[str], _words: Sequence[str], chance: Random) -> str:
    at = _spot(text, chance)
    return text[:at] + chance.choice(_CHARACTERS) + text[at + chance.randrange(2) :]


def _deleted(text: str, _others: Sequence[str], _words: Sequence[str], chance: Random) -> str:
    start, end = _span(text, chance)
    return text[:start] + text[end:]


def _repeated(text: str, _others: Sequence[str], _words: Sequence[str], chance: Random) -> str:
    start, end = _span(text, chance)
    return text[:end] + text[start:end] * chance.choice((1, 2, 3, 10, 100)) + text[end:]


def _spliced(text: str, others: Sequence[str], _words: Sequence[str], chance: Random) -> str:
    other = chance.choice(others)
    return text[: _spot(text, chance)] + other[_spot(other, chance) :]


def _word(text: str, _others: Sequence[str], words: Sequence[str], chance: Random) -> str:
    parts = _WORD.findall(text)
    if not parts:
        return chance.choice(words)
    at = chance.randrange(len(parts))
    parts[at : at + chance.randrange(2)] = [chance.choice(words)]
    return "".join(parts)


def _exchanged(text: str, _others: Sequence[str], _words: Sequence[str], chance: Random) -> str:
    parts = _WORD.findall(text)
    if len(parts) > 1:
        one, two = chance.randrange(len(parts)), chance.randrange(len(parts))
        parts[one], parts[two] = parts[two], parts[one]
    return "".join(parts)


def _number(text: str, _others: Sequence[str], _words: Sequence[str], chance: Random) -> str:
    found = list(re.finditer(r"[0-9.]+", text))
    if not found:
        return text + chance.choice(_NUMBERS)
    match = chance.choice(found)
    return text[: match.start()] + chance.choice(_NUMBERS) + text[match.end() :]


def _line(text: str, _others: Sequence[str], _words: Sequence[str], chance: Random) -> str:
    lines = text.split("\n")
    at = chance.randrange(len(lines))
    match chance.randrange(4):
        case 0:
            del lines[at]
        case 1:
            lines.insert(chance.randrange(len(lines) + 1), lines[at])
        case 2:
            lines[at] = " " * chance.randrange(12) + lines[at].lstrip()
        case _:
            lines[at] = lines[at][: _spot(lines[at], chance)]
    return "\n".join(lines)


def _nested(text: str, _others: Sequence[str], _words: Sequence[str], chance: Random) -> str:
    start, end = _span(text, chance)
    opened, closed = chance.choice(
        (("(", ")"), ("[", "]"), ("{", "}"), ("not ", ""), ("-", ""), ("abs(", ")"), ("{a: ", "}"), ("- ", ""))
    )
    count = chance.choice((1, 2, 10, 38, 41, 300))
    return text[:start] + opened * count + text[start:end] + closed * count + text[end:]


_CHANGES: tuple[Callable[[str, Sequence[str], Sequence[str], Random], str], ...] = (
    _character,
    _deleted,
    _repeated,
    _spliced,
    _word,
    _word,
    _exchanged,
    _number,
    _line,
    _nested,
)
