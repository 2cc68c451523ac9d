"""Types of values in configuration: durations with a unit, expressions, lists of patterns, moments."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler, PlainSerializer, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue  # noqa: TC002 - pydantic reads the annotation

from guard.dsl.tokens import quantity, written_quantity
from guard.features.tables import Unit
from guard.model import Quorum

__all__ = [
    "Duration",
    "Model",
    "Moment",
    "OrOne",
    "OrText",
    "QuorumOf",
    "Ratio",
    "RuleId",
    "Size",
    "Weight",
    "Words",
    "Written",
    "duration_us",
]

DURATION_PATTERN = r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$"
_DURATION_MAX_US = 3660 * 86_400_000_000
_DAY_CHARACTERS = 10
_QUORUM_MAX = 20_000


class Model(BaseModel):
    """What all models of configuration share: frozen, unknown keys refused, no NaN.

    A field's docstring is its description in the schema; `guard.dsl.field_docs` reads it there and then, because reading the source
    of all models takes a tenth of the time that a check of a file does.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        populate_by_name=True,
        hide_input_in_errors=True,
    )


class OrText:
    """Marks a type that may be written as one text as well, for the JSON schema; `pattern` says which."""

    def __init__(self, pattern: str | None = None) -> None:
        self.pattern = pattern

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: GetJsonSchemaHandler) -> JsonSchemaValue:  # noqa: ANN401 - theirs
        """Return the schema of either."""
        text = {"type": "string"} if self.pattern is None else {"type": "string", "pattern": self.pattern}
        return {"anyOf": [text, handler(core_schema)]}


class OrOne:
    """Marks a list that may be written as its only item as well, for the JSON schema."""

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: GetJsonSchemaHandler) -> JsonSchemaValue:  # noqa: ANN401 - theirs
        """Return the schema of either."""
        found = handler(core_schema)
        return {"anyOf": [found["items"], found]}


def duration_us(text: Any) -> int:  # noqa: ANN401 - what stands in the file may be anything
    """Return microseconds of ``30m``; raises ValueError for anything else.

    Examples
    --------
    >>> duration_us("1.5s")
    1500000
    """
    found = quantity(text) if isinstance(text, str) else None
    if isinstance(text, int | float) and not isinstance(text, bool):
        raise ValueError(f"a duration needs its unit (ms, s, m, h or d), for example {text:g}s")  # noqa: TRY004 - pydantic wants it
    if found is None or found[1] is not Unit.DURATION or not 0 <= found[0] <= _DURATION_MAX_US:
        raise ValueError(f"expected a duration such as 30s, 10m, 6h or 7d, found {str(text)[:40]!r}{_meant_duration(text)}")
    return round(found[0])


_LONG_UNITS = {
    "sec": "s", "secs": "s", "second": "s", "seconds": "s", "min": "m", "mins": "m", "minute": "m", "minutes": "m", "hr": "h",
    "hrs": "h", "hour": "h", "hours": "h", "day": "d", "days": "d", "S": "s", "M": "m", "H": "h", "D": "d",
}  # fmt: skip


def _meant_duration(text: Any) -> str:  # noqa: ANN401 - likewise
    """Return ``; did you mean 30m?`` for ``30 min`` and the like."""
    word = "".join(text.split()) if isinstance(text, str) else ""
    digits = word.rstrip("abcdefghijklmnopqrstuvwxyzSMHD")
    unit = word.removeprefix(digits)
    number = quantity(digits)
    if unit in ("w", "week", "weeks") and number is not None and number[0] >= 0:
        return f"; did you mean {number[0] * 7:g}d?"
    meant = f"{digits}{_LONG_UNITS.get(unit, unit)}"
    found = quantity(meant)
    return f"; did you mean {meant}?" if found is not None and found[1] is Unit.DURATION and found[0] > 0 else ""


def _ratio(value: Any) -> Any:  # noqa: ANN401 - likewise
    found = quantity(value) if isinstance(value, str) else None
    return found[0] if found is not None and found[1] in (Unit.RATIO, Unit.NONE) else value


def _written(value: Any) -> Any:  # noqa: ANN401 - likewise
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.15g}" if isinstance(value, int | float) else value


def _words(value: Any) -> Any:  # noqa: ANN401 - likewise
    return [value] if isinstance(value, str) else value


def _quorum(value: Any) -> Any:  # noqa: ANN401 - likewise
    if isinstance(value, Quorum):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _QUORUM_MAX:
        return Quorum(value)
    found = quantity(value) if isinstance(value, str) and value.endswith("%") else None
    if found is None or not 0.0 < found[0] <= 1.0:
        raise ValueError(
            f"a quorum is a count of markets such as 3 (at least 1), or a share such as 30%; found {str(value)[:40]!r}"
        )
    return Quorum(ratio=found[0])


_SIZES: Final = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def _size(value: Any) -> Any:  # noqa: ANN401 - likewise
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = str(value)
    number, unit = text[:-2].rstrip(), text[-2:]
    if unit not in _SIZES or not number.replace(".", "", 1).isdecimal():
        raise ValueError(f"expected bytes such as 64MB (kB, MB, GB or TB), found {text[:40]!r}")
    return round(float(number) * _SIZES[unit])


def _written_size(value: int) -> int | str:
    unit = next((unit for unit in reversed(_SIZES) if value and value % _SIZES[unit] == 0), None)
    return value if unit is None else f"{value // _SIZES[unit]}{unit}"


def _moment(value: Any) -> Any:  # noqa: ANN401 - likewise
    text = value if isinstance(value, str) else ""
    try:
        if len(text) == _DAY_CHARACTERS:
            at = datetime.combine(date.fromisoformat(text), time(), UTC) + timedelta(days=1)
        else:
            at = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise ValueError(f"expected a day (2027-01-31, to its end) or a moment (2027-01-31T12:00Z), found {text[:40]!r}") from None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return round(at.timestamp() * 1e6)


def _iso(value_us: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=value_us)).isoformat()


Duration = Annotated[
    int,
    BeforeValidator(duration_us),
    PlainSerializer(lambda value: "0s" if value == 0 else written_quantity(float(value), Unit.DURATION), return_type=str),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "examples": ["30s", "10m", "6h", "7d"]}),
]
"""Microseconds, written with a unit: ``30m``."""

Size = Annotated[
    int,
    BeforeValidator(_size),
    Field(ge=0),
    PlainSerializer(_written_size, return_type=int | str),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(kB|MB|GB|TB)$"},
            ]
        }
    ),
]
"""Bytes, also written with a unit: ``64MB``."""

Ratio = Annotated[
    float,
    BeforeValidator(_ratio),
    Field(ge=0.0, le=1.0),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "string", "pattern": r"^[0-9.]+(%|bp)$"}]}),
]
"""A number in [0, 1], also written as a percentage: ``60%``."""

QuorumOf = Annotated[
    Quorum,
    BeforeValidator(_quorum),
    PlainSerializer(lambda value: value.least if value.ratio is None else str(value), return_type=int | str),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": _QUORUM_MAX},
                {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?%$", "examples": ["30%"]},
            ]
        }
    ),
]
"""How many markets of a group: a count, or a share of them with its sign: ``30%``."""

Weight = Annotated[float, Field(gt=0.0, le=1000.0)]
"""How much a factor counts against the others, > 0."""

Written = Annotated[
    str,
    BeforeValidator(_written),
    WithJsonSchema({"type": ["string", "number", "boolean"], "examples": ["ret(60s) > 1%"]}),
]
"""An expression of the rule language."""

Words = Annotated[
    tuple[str, ...],
    BeforeValidator(_words),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""One text or several."""

Moment = Annotated[
    int,
    BeforeValidator(_moment),
    PlainSerializer(_iso, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["2027-01-31", "2027-01-31T12:00Z"]}),
]
"""Microseconds since 1970, written as a day (to its end, UTC) or a moment."""

RuleId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
"""A rule's name: small letters, digits and underscores."""
