"""Names of symbols to numbers, a whole column at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from guard_tape.cells import Text
    from guard_tape.columns import Integers, Numbers, Words

__all__ = ["Symbols"]

_WORDS_MAX: Final = 8
_CHARACTERS_MAX: Final = 8 * _WORDS_MAX
# Odd numbers without a pattern: the hash of a name is the sum of its words, each times its own.
_MIX: Final = [np.uint64((0x9E3779B97F4A7C15 * (2 * word + 1) ^ word << 40) % 2**64 | 1) for word in range(_WORDS_MAX)]


class Symbols:
    """Numbers symbols in the order in which they are met; `plain` ones are any words, others unified symbols.

    Examples
    --------
    >>> symbols = Symbols()
    >>> symbols.number("B/USDT"), symbols.number("A/USDT"), symbols.number("B/USDT")
    (0, 1, 0)
    """

    def __init__(self, *, plain: bool = False) -> None:
        self._plain = plain
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}
        # Of symbols met in columns: their hashes in order; the number, words and length of each.
        self._hashes: Words = np.empty(0, np.uint64)
        self._hashed: Numbers = np.empty(0, np.int32)
        self._words: Words = np.empty((0, _WORDS_MAX), np.uint64)
        self._lengths: Integers = np.empty(0, np.int64)

    def number(self, name: str) -> int:
        """Return the number of a symbol."""
        if name not in self._numbers:
            self._numbers[name] = len(self.names)
            self.names.append(name)
        return self._numbers[name]

    def numbers(self, text: Text, starts: Integers, ends: Integers) -> Numbers | None:
        """Return the numbers of a column of symbols; None where one is too long, is no symbol, or hashes like another."""
        lengths = ends - starts
        longest = int(lengths.max(initial=0))
        if longest > _CHARACTERS_MAX:
            return None
        words = [text.word(starts, ends, number=number) for number in range(max(1, -(-longest // 8)))]
        hashes = words[0] * _MIX[0]
        for word, mix in zip(words[1:], _MIX[1:], strict=False):
            hashes += word * mix
        found = self._places(hashes)
        is_new = self._hashes[found] != hashes if len(self._hashes) else np.ones(len(hashes), np.bool_)
        if is_new.any():
            _, firsts = np.unique(hashes[is_new], return_index=True)
            rows = np.sort(np.flatnonzero(is_new)[firsts])
            if not self._learn([text.spelled(int(starts[row]), int(ends[row])) for row in rows], hashes[rows]):
                return None
            found = self._places(hashes)
        if (self._lengths[found] != lengths).any() or any(
            (self._words[found, number] != word).any() for number, word in enumerate(words)
        ):
            return None
        return self._hashed[found]

    def _places(self, hashes: Words) -> Integers:
        if len(self._hashes) <= 1:
            return np.zeros(len(hashes), np.int64)
        return np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)

    def _learn(self, names: list[str], hashes: Words) -> bool:
        if not all(name if self._plain else "/" in name for name in names):
            return False
        spelled = [name.encode().rjust(_CHARACTERS_MAX, b"\0") for name in names]
        words = np.frombuffer(b"".join(spelled), "<u8").reshape(-1, _WORDS_MAX)[:, ::-1]
        numbers = np.array([self.number(name) for name in names], np.int32)
        lengths = np.array([len(name) for name in names], np.int64)
        hashes = np.concatenate((self._hashes, hashes))
        order = np.argsort(hashes)
        self._hashes = hashes[order]
        self._hashed = np.concatenate((self._hashed, numbers))[order]
        self._words = np.concatenate((self._words, words))[order]
        self._lengths = np.concatenate((self._lengths, lengths))[order]
        return True
