"""Foreign text made safe to show: in a chat, in a mail, on a page."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["LENGTH_MAX", "display", "is_plain_market"]

LENGTH_MAX = 200
_MARKS_MAX = 2
_BREAK = "\u200b"
# Letters and marks by category that show nothing: Hangul fillers, the Braille blank, Khmer vowels, variation selectors.
_INVISIBLE = frozenset("\u115f\u1160\u3164\uffa0\u2800\u17b4\u17b5\u034f") | frozenset(map(chr, range(0xFE00, 0xFE10)))
_DROPPED = frozenset({"Cf", "Cs", "Co", "Cn"})
_SPACES = frozenset({"Cc", "Zl", "Zp", "Zs"})
# What a chat turns into a mention, a tag, a link, a host name or a bot's command when it stands unbroken.
_ACTIVE = re.compile(r"@|<|&(?=[#a-zA-Z])|:(?=//)|(?<=\w)\.(?=[^\W\d_])|(?<![\w])[/#](?=\w)|\](?=\()")
_PLAIN_MARKET = re.compile(
    r"[a-z0-9_-]{1,32}:[A-Z0-9]{1,32}(?:[_-][A-Z0-9]{1,32})?/[A-Z0-9]{1,16}(?::[A-Z0-9]{1,16}(?:-[A-Z0-9]{1,12}){0,3})?"
)


def display(text: str, *, limit: int = LENGTH_MAX) -> str:
    r"""Return `text` as one harmless line of at most `limit` visible characters, cut with an ellipsis.

    Compatibility forms are folded (NFKC); control, bidirectional, zero-width and unassigned characters go, line breaks become
    spaces, piled-up combining marks are thinned. A zero-width space then breaks what a chat would act on: ``@``, ``<``, ``://``,
    host names, ``[text](link)``, ``/command`` and ``#tag`` at the start of a word.

    Examples
    --------
    >>> display("PEPE/USDT"), display("a\nb"), display("@everyone") == "@\u200beveryone"
    ('PEPE/USDT', 'a b', True)
    """
    # One code point may fold into 18: the cut before folding bounds the work, the cut after it bounds the line.
    folded = unicodedata.normalize("NFKC", text[: 4 * limit])
    visible = unicodedata.normalize("NFKC", "".join(map(_visible, folded)))
    line = " ".join(_thin(visible).split())
    if len(line) > limit:
        line = line[: limit - 1].rstrip() + "…"
    return _ACTIVE.sub(lambda found: found.group() + _BREAK, line)


def is_plain_market(text: str) -> bool:
    """Whether a market's written form is so plain that it may stand in a command to copy.

    Examples
    --------
    >>> is_plain_market("okx:BTC/USDT:USDT-261225"), is_plain_market("sim:T.ME/USDT")
    (True, False)
    """
    return _PLAIN_MARKET.fullmatch(text) is not None


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category in _SPACES:
        return " "
    return "" if category in _DROPPED or character in _INVISIBLE else character


def _thin(text: str) -> str:
    kept: list[str] = []
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) or unicodedata.category(character) == "Me" else 0
        if marks <= _MARKS_MAX:
            kept.append(character)
    return "".join(kept)
