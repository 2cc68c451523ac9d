"""A small machine for formulas: whether anything that a market's rules say differs from what was last known.

Code is numbers: an operation and four operands, `STRIDE` in all, but for what `BEST` and `LEAF` say. It knows nothing of rules:
`guard.dsl.machine_code` writes it. An operand that is read is a register, or, where it is negative, the constant ``-1 - operand``.
"""

from __future__ import annotations

from math import log, sqrt
from typing import TYPE_CHECKING, Final

from guard.features.kernel import slots as s
from guard.features.kernel.leaves import leaf_value

if TYPE_CHECKING:
    from guard.features.kernel.rows import FloatRows, Floats, IntegerRows, Integers

__all__ = ["FREE", "LEVEL_MASK", "SINCE_SHIFT", "STRIDE", "TURNED", "UNKNOWN_LEVEL", "differs", "judge", "turned"]

STRIDE: Final = 5

# The register that counts how often rules were judged: what a register is marked with when its value is known.
TURN: Final = 0

# Of a signature: the level that is reached, or 4 where that is unknown. Where it is FREE, going from no level to unknown and back
# is noted here and is nobody else's business: TURNED tells that it happened, above SINCE_SHIFT stands since when it is unknown.
LEVEL_MASK: Final = 7
UNKNOWN_LEVEL: Final = 4
FREE: Final = 128
TURNED: Final = 256
SINCE_SHIFT: Final = 9
# 0 where a level is none or unknown.
REACHED: Final = 3
# All below the time but the level.
KEPT_PARTS: Final = 504

# Ends: nothing differs; somebody else must look.
SAME: Final = 0
ASK: Final = 1
# Flow. JUMP target; LOOK n shift mask value: differs where that part of signature n is not `value`;
# UNASKED n target shift mask: to `target` where that part of signature n is 0, for then it is nothing to anybody;
# KEPT register target: to `target` where that register holds its value already, which the next one tells; it will from here on.
JUMP: Final = 2
LOOK: Final = 3
UNASKED: Final = 4
KEPT: Final = 34
# Tests a b target: jump to `target` where the test fails (UNLESS) or does not fail (IF). What is unknown fails every test.
UNLESS_LESS: Final = 5
UNLESS_LESS_EQUAL: Final = 6
UNLESS_EQUAL: Final = 7
UNLESS_APART: Final = 8
UNLESS_KNOWN: Final = 9
IF_LESS: Final = 10
IF_LESS_EQUAL: Final = 11
IF_EQUAL: Final = 12
IF_APART: Final = 13
IF_KNOWN: Final = 14
# Numbers: into register, operands.
LEAF: Final = 15
MOVE: Final = 16
ADD: Final = 17
SUBTRACT: Final = 18
MULTIPLY: Final = 19
DIVIDE: Final = 20
MIN: Final = 21
MAX: Final = 22
# RAMP of low width; CLAMP of low high: with constants, as the compiled function has them.
RAMP: Final = 23
CLAMP: Final = 24
DEFAULT: Final = 25
ABS: Final = 26
NEGATIVE: Final = 27
LOG: Final = 28
SQRT: Final = 29
AT_LEAST: Final = 30
# With bounds that are computed.
RAMP_FREE: Final = 31
CLAMP_FREE: Final = 32
# BEST into total weight count, then `count` pairs of weight and value.
BEST: Final = 33


def differs(
    screen: int, X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, sig: Integers,
    m: Integers, k: Floats, r: Floats, received: int,
) -> int:  # fmt: skip
    """Return what `judge` does, by the machine code at the address `screen` where that is not 0."""
    if screen != 0:
        return call(screen, X, I, x, i, sig, received)
    return judge(X, I, x, i, p, q, sig, m, k, r, received)


def call(screen: int, X: FloatRows, I: IntegerRows, x: Floats, i: Integers, sig: Integers, received: int) -> int:
    """Call machine code. Compiled code alone can, where another function stands in this place; here somebody else must look."""
    return 1


def judge(
    X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, sig: Integers,
    m: Integers, k: Floats, r: Floats, received: int,
) -> int:  # fmt: skip
    """Return 0 where every rule of a market has the signature that `sig` holds; 1 where one differs or Python must look."""
    at = i[s.PROGRAM]
    leaves = p[s.P_LEAVES]
    turn = r[TURN] + 1.0
    r[TURN] = turn
    while True:
        op = m[at]
        a = m[at + 1]
        b = m[at + 2]
        if op == LEAF:
            r[a] = leaf_value(X, I, x, i, p, q, leaves + b * s.LEAF_STRIDE, received)
            at += STRIDE
        elif op == KEPT:
            if r[a + 1] == turn:
                at = b
            else:
                r[a + 1] = turn
                at += STRIDE
        elif op >= MOVE:
            c = m[at + 3]
            d = m[at + 4]
            first = k[-1 - b] if b < 0 else r[b]
            second = k[-1 - c] if c < 0 else r[c]
            if op == BEST:
                r[a] = best(m, k, r, first, second, at + STRIDE, d)
                at += STRIDE + 2 * d
            else:
                r[a] = number(op, first, second, k[-1 - d] if d < 0 else r[d])
                at += STRIDE
        elif op >= UNLESS_LESS:
            first = k[-1 - a] if a < 0 else r[a]
            second = k[-1 - b] if b < 0 else r[b]
            if op >= IF_LESS:
                at = m[at + 3] if passes(op - IF_LESS, first, second) else at + STRIDE
            else:
                at = at + STRIDE if passes(op - UNLESS_LESS, first, second) else m[at + 3]
        elif op == LOOK:
            told = sig[a]
            if (told >> b) & m[at + 3] != m[at + 4]:
                if b != 0 or told & (FREE | REACHED) != FREE or m[at + 4] & REACHED != 0:
                    return 1
                sig[a] = turned(told, m[at + 4], received)
            at += STRIDE
        elif op == JUMP:
            at = a
        elif op == UNASKED:
            at = b if (sig[a] >> m[at + 3]) & m[at + 4] == 0 else at + STRIDE
        else:
            return 1 if op == ASK else 0


def turned(told: int, level: int, now: int) -> int:
    """Return a free signature after the rule turned unknown, or known and at no level, `now`."""
    since = now if level == UNKNOWN_LEVEL else 0
    return told & KEPT_PARTS | TURNED | level | since << SINCE_SHIFT


def passes(test: int, a: float, b: float) -> int:
    """Return 1 where two numbers pass a test, 0 where they do not or one is unknown."""
    if test == 0:
        return 1 if a < b else 0
    if test == 1:
        return 1 if a <= b else 0
    if test == 2:
        return 1 if a == b else 0
    if test == 3:
        return 1 if a < b or a > b else 0
    return 1 if a == a else 0


def number(op: int, a: float, b: float, c: float) -> float:
    """Return what an operation makes of up to three numbers; NaN is unknown, and no number raises."""
    if op == MOVE:
        return a
    if op == ADD:
        return a + b
    if op == SUBTRACT:
        return a - b
    if op == MULTIPLY:
        return a * b
    if op == DIVIDE:
        return s.NAN if b == 0.0 else a / b
    if op == MIN:
        if a <= b:
            return a
        return b if b < a else s.NAN
    if op == MAX:
        if a >= b:
            return a
        return b if b > a else s.NAN
    if op == RAMP:
        share = (a - b) / c
        if share < 0.0:
            return 0.0
        return 1.0 if share > 1.0 else share
    if op == CLAMP:
        if a < b:
            return b
        return c if a > c else a
    if op == DEFAULT:
        return a if a == a else b
    return rarer_number(op, a, b, c)


def rarer_number(op: int, a: float, b: float, c: float) -> float:
    """Return what the other operations make of up to three numbers."""
    if op == ABS:
        return a if a > 0.0 else 0.0 - a
    if op == NEGATIVE:
        return -a
    if op == LOG:
        return log(a) if a > 0.0 else s.NAN
    if op == SQRT:
        return sqrt(a) if a >= 0.0 else s.NAN
    if op == AT_LEAST:
        return a if b >= c else s.NAN
    if op == RAMP_FREE:
        width = c - b
        return clamp(s.NAN if width == 0.0 else (a - b) / width, 0.0, 1.0)
    return clamp(a, b, c)


def clamp(a: float, low: float, high: float) -> float:
    """Return `a` within bounds; NaN where one of the three is unknown."""
    if a != a or low != low or high != high:
        return s.NAN
    if a < low:
        return low
    return high if high < a else a


def best(m: Integers, k: Floats, r: Floats, total: float, weight: float, first: int, count: int) -> float:
    """Return the highest mean that optional parts can make of a weighted sum; see `guard.detection.risk.with_best`."""
    mean = total / weight
    if mean != mean:
        return mean
    last = 2.0
    chosen = -1
    while True:
        found = -1
        value = -1.0
        for part in range(count):
            operand = m[first + 2 * part + 1]
            each = k[-1 - operand] if operand < 0 else r[operand]
            if (each < last or (each == last and part > chosen)) and each > value:
                found = part
                value = each
        if found < 0:
            break
        last = value
        chosen = found
        heavy = k[-1 - m[first + 2 * found]]
        total += heavy * value
        weight += heavy
        if total / weight <= mean:
            break
        mean = total / weight
    return 1.0 if mean > 1.0 else mean
