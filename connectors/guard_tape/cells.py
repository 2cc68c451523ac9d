"""Cells of text to numbers, a whole column at once, with exactly the results of `int` and `float`.

Eight characters are looked at as one 64-bit word. A decimal number of at most 15 to 16 digits is its digits as an integer, which a
float holds exactly, divided by a power of ten up to 10**22, which it holds exactly too: the one rounding is that of the division,
so the result is the nearest float (Clinger, "How to read floating point numbers accurately", 1990). All others go through `float`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from guard_tape.columns import Floats, Integers, Words

    Truths = NDArray[np.bool_]

__all__ = ["MARGIN", "Text"]

# Bytes before the first cell, so that a word that ends with it begins inside the text.
MARGIN: Final = 64
_WORD: Final = 8
_EXACT: Final = 9e15  # below 2**53
_TENS: Final[Floats] = np.array([10.0**power for power in range(23)])
_TENS_INTEGER: Final[Integers] = np.array([10**power for power in range(17)])
_TEN_MAX: Final = 22
_DIGITS_MAX: Final = 16
# The last n characters of a word are its n highest bytes.
_KEEP: Final[Words] = np.array([(1 << 64) - (1 << 8 * (_WORD - kept)) for kept in range(_WORD + 1)], np.uint64)
_DOT, _E, _MINUS = ord("."), ord("e"), ord("-")


def _each(byte: int) -> np.uint64:
    return np.uint64(int.from_bytes(bytes([byte]) * _WORD, "little"))


_ZEROS: Final = _each(ord("0"))
_FOURS, _HIGH, _LOW = _each(0x46), _each(0x80), _each(0x0F)
_LOWER: Final = _each(0x20)


class Text:
    """A block of ASCII text that begins with `MARGIN` bytes which belong to no cell.

    Cells are given as two arrays, where they start and where they end (before their delimiter).
    """

    def __init__(self, block: bytes) -> None:
        self.block = block
        self.bytes = np.frombuffer(block, np.uint8)
        self._words: Words = np.ndarray((len(block) - _WORD + 1,), "<u8", buffer=block, strides=(1,))
        self._dots = np.append(np.flatnonzero(self.bytes == _DOT), len(block))

    def word(self, starts: Integers, ends: Integers, *, number: int = 0) -> Words:
        """Return eight characters of each cell: the last ones for `number` 0, those before for 1, and so on; 0 beyond its start."""
        kept = np.clip(ends - starts - _WORD * number, 0, _WORD)
        words: Words = self._words[ends - _WORD * (number + 1)] & _KEEP[kept]
        return words

    def lowered(self, starts: Integers, ends: Integers) -> Words:
        """Return the last eight characters of each cell in lower case."""
        kept = np.clip(ends - starts, 0, _WORD)
        words: Words = (self._words[ends - _WORD] | _LOWER) & _KEEP[kept]
        return words

    def integers(self, starts: Integers, ends: Integers) -> Integers | None:
        """Return cells of 1 to 16 digits as integers; None where one is anything else."""
        if (ends == starts).any():
            return None
        values, is_number = self._digits(starts, ends)
        return values if is_number.all() else None

    def floats(self, starts: Integers, ends: Integers) -> Floats | None:
        """Return cells as floats; None where one is no number."""
        powers, ends_digits = self._exponents(starts, ends)
        dots = self._dots[np.searchsorted(self._dots, starts)]
        dots = np.minimum(dots, ends_digits)
        fractions_at = np.minimum(dots + 1, ends_digits)
        whole, is_whole = self._digits(starts, dots)
        part, is_part = self._digits(fractions_at, ends_digits)
        places = ends_digits - fractions_at
        scale = places + powers
        is_exact = is_whole & is_part & (scale <= _TEN_MAX) & (places + dots > starts)
        places = np.minimum(places, _DIGITS_MAX)
        is_exact &= whole * _TENS[places] + part < _EXACT
        values: Floats = (whole * _TENS_INTEGER[places] + part) / _TENS[np.minimum(scale, _TEN_MAX)]
        return values if is_exact.all() else self._spelled(values, np.flatnonzero(~is_exact), starts, ends)

    def _exponents(self, starts: Integers, ends: Integers) -> tuple[Integers, Integers]:
        """Return the powers of ten in ``e-05`` as positive numbers, and where the digits before them end."""
        tens, ones = self.bytes[ends - 2].astype(np.int64) - ord("0"), self.bytes[ends - 1].astype(np.int64) - ord("0")
        has = (self.bytes[ends - 4] == _E) & (self.bytes[ends - 3] == _MINUS) & (ends - starts > len("e-05"))
        has &= (tens >= 0) & (tens <= 9) & (ones >= 0) & (ones <= 9)  # noqa: PLR2004 - digits
        return np.where(has, 10 * tens + ones, 0), np.where(has, ends - 4, ends)

    def _digits(self, starts: Integers, ends: Integers) -> tuple[Integers, Truths]:
        """Return cells of at most 16 digits as integers, an empty one as 0, and which are that."""
        counts = ends - starts
        longest = counts.max(initial=0)
        values, is_number = _eight(self._words[ends - _WORD], np.minimum(counts, _WORD))
        if longest > _WORD:
            high, is_high = _eight(self._words[ends - 2 * _WORD], np.clip(counts - _WORD, 0, _WORD))
            values, is_number = values + high * 10**_WORD, is_number & is_high & (counts <= _DIGITS_MAX)
        return values, is_number

    def _spelled(self, values: Floats, at: NDArray[Any], starts: Integers, ends: Integers) -> Floats | None:
        try:
            values[at] = [float(self.block[a:b]) for a, b in zip(starts[at].tolist(), ends[at].tolist(), strict=True)]
        except ValueError:
            return None
        return values

    def spelled(self, start: int, end: int) -> str:
        """Return one cell."""
        return self.block[start:end].decode("ascii")


def _eight(words: Words, kept: Integers) -> tuple[Integers, Truths]:
    """Return the number in the last `kept` characters of each word, and which are digits only."""
    keep = _KEEP[kept]
    words = (words & keep) | (_ZEROS & ~keep)
    is_number: Truths = ((words + _FOURS) | (words - _ZEROS)) & _HIGH == 0
    words &= _LOW
    words = (words * np.uint64(2561) >> np.uint64(8)) & np.uint64(0x00FF00FF00FF00FF)
    words = (words * np.uint64(6553601) >> np.uint64(16)) & np.uint64(0x0000FFFF0000FFFF)
    return (words * np.uint64(42949672960001) >> np.uint64(32)).view(np.int64), is_number
