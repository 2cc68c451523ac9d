"""Generated frames: how exchanges might write numbers, and everything that may go wrong with a good frame."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NUMBERS", "numbers", "spoiled", "texts"]

_PLACES = st.integers(min_value=0, max_value=12)


@st.composite
def texts(draw: Any, *, largest: int = 10**9, has_sign: bool = False) -> str:
    """Return a positive decimal number as a text, in one of the notations seen on wires."""
    whole = draw(st.integers(min_value=1, max_value=largest))
    places = draw(_PLACES)
    written = draw(st.sampled_from(("plain", "padded", "scientific")))
    sign = draw(st.sampled_from(("", "-"))) if has_sign else ""
    if written == "scientific":
        return f"{sign}{whole}e-{places}"
    text = f"{whole / 10**places:.{places}f}"
    return sign + text + ("00" if written == "padded" and "." in text else "")


def numbers(**kinds: Any) -> st.SearchStrategy[Any]:
    """Return a number as a text, or as a number of JSON."""
    return texts(**kinds) | texts(**kinds).map(float) | st.integers(min_value=1, max_value=10**6)


# What a field may turn into.
NUMBERS = [None, "", "0", 0, -1, "-1", "1e400", "NaN", 10**30, True, "x", [], {}, " 1", "1_000", "0x10", "１２", "12.0", 1.5, "+1"]


@st.composite
def spoiled(draw: Any, frame: dict[str, Any], *, more: Callable[[], dict[str, Any]] = dict) -> str:
    """Return `frame` as a text with its keys in any order, and perhaps a field lost, changed, doubled or added."""
    path, at = draw(_place(frame))
    how = draw(st.sampled_from(("none", "none", "lose", "change", "add", "event", "cut")))
    if how == "lose" and path:
        del at[path]
    elif how == "change" and path:
        at[path] = draw(st.sampled_from(NUMBERS))
    elif how == "add":
        at[draw(st.sampled_from(("zzz", "count", "id", "t", "ts", "T", "time", "amount", "size", "q", "contract", "symbol")))] = (
            draw(st.sampled_from(["7", 7, None, "1700000000000", {"a": 1}]))
        )
    elif how == "event":
        frame |= draw(st.sampled_from(({"event": "x"}, {"code": "0"}, {"error": None}, {"id": 1}, {"op": "pong"}, more())))
    text = json.dumps(draw(_shuffled(frame)))
    return text[: draw(st.integers(min_value=1, max_value=len(text)))] if how == "cut" else text


@st.composite
def _place(draw: Any, frame: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    # A key of an object somewhere in the frame.
    at: Any = frame
    while True:
        if isinstance(at, list):
            if not at or not isinstance(at[0], dict):
                return "", frame
            at = draw(st.sampled_from(at))
            continue
        name = draw(st.sampled_from(sorted(at)))
        if isinstance(at[name], (dict, list)) and draw(st.booleans()):
            inner = at[name]
            if (isinstance(inner, dict) and inner) or (isinstance(inner, list) and inner and isinstance(inner[0], dict)):
                at = inner
                continue
        return name, at


@st.composite
def _shuffled(draw: Any, value: Any) -> Any:
    if isinstance(value, dict):
        names = draw(st.permutations(list(value))) if draw(st.booleans()) else list(value)
        return {name: draw(_shuffled(value[name])) for name in names}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [draw(_shuffled(one)) for one in value]
    return value
