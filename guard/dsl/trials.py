"""``KEY=0.6..0.9`` and ``KEY=10s,30s``: which values of a rule's numbers are tried."""

from __future__ import annotations

import math
import re
from itertools import product
from typing import TYPE_CHECKING, Final, NamedTuple

from guard.dsl.compilation import compiled
from guard.dsl.parameters import Key, Value, expressions, keys_of, with_values
from guard.dsl.problems import Place, Report, Source, did_you_mean
from guard.dsl.tokens import quantity, written_quantity
from guard.errors import Problem, RuleError
from guard.features.tables import Unit
from guard.model import RuleMode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guard.dsl.rules import RuleSet

__all__ = ["SETTINGS_MAX", "Parameter", "Setting", "between", "is_disabled", "trials"]

SETTINGS_MAX: Final = 1000
_RANGE: Final = ".."
_WRITTEN: Final = re.compile(r"(-?[0-9.]+(?:[eE][-+]?[0-9]+)?)([a-zA-Z%]*)\Z")
_OPTION: Final = "--param"


class Parameter(NamedTuple):
    """One key with the values to try."""

    key: Key
    values: tuple[Value, ...]


class Setting(NamedTuple):
    """One value for each parameter; `is_in_use` where they are those of the rule as it stands."""

    values: tuple[Value, ...]
    is_in_use: bool

    @property
    def texts(self) -> tuple[str, ...]:
        """The values as written."""
        return tuple(value.text for value in self.values)


def trials(rules: RuleSet, rule_id: str, written: Sequence[str], *, steps: int) -> tuple[list[Parameter], list[Setting]]:
    """Return what is to be tried: the values of each parameter, and all combinations, with the one in use among them.

    Parameters
    ----------
    rules, rule_id
        The set, and the rule that gets other values. The set must be without mistakes.
    written
        ``KEY=FROM..TO``, with units (``1%..4%``), or ``KEY=a,b,c``.
    steps
        How many values a range has, its ends among them, >= 2.

    Raises
    ------
    RuleError
        An unknown rule or key, a wrong range, more than 1,000 settings, or a value that the loader refuses.
    """
    report = Report()
    rule = next((rule for rule in rules.rules if rule.id == rule_id), None)
    if rule is None:
        place = Place(Source.of("RULE", rule_id))
        report.add("E027", place, f"there is no rule {rule_id!r}", did_you_mean(rule_id, [rule.id for rule in rules.rules]))
        raise RuleError(*report.errors)
    keys, texts = keys_of(rule), expressions(rule)
    found = [_parameter(text, keys, texts, report, steps=steps) for text in written]
    parameters = [parameter for parameter in found if parameter is not None]
    names = [parameter.key.name for parameter in parameters]
    for parameter in parameters:
        if names.count(parameter.key.name) > 1:
            report.add("E077", parameter.values[0].key, f"{parameter.key.name} is given more than once", "one --param for each key")
    count = math.prod(len(parameter.values) for parameter in parameters)
    if count > SETTINGS_MAX:
        sizes = " x ".join(str(len(parameter.values)) for parameter in parameters)
        place = parameters[0].values[0].key
        report.add("E077", place, f"{sizes} = {count:,} settings, at most {SETTINGS_MAX:,} are tried", "fewer --steps, or lists")
    if report.errors:
        raise RuleError(*report.errors)
    settings = _settings(parameters)
    _refuse_broken(rules, rule_id, settings)
    return parameters, settings


def is_disabled(rules: RuleSet, rule_id: str, setting: Setting) -> bool:
    """Return whether a rule is switched off with a setting."""
    (rule,) = (rule for rule in with_values(rules, rule_id, setting.values, Report()).rules if rule.id == rule_id)
    return rule.spec is not None and rule.spec.mode is RuleMode.DISABLED


def _settings(parameters: Sequence[Parameter]) -> list[Setting]:
    """Return all combinations; the one in use is added, in its place where there is one parameter, where it is not tried anyway."""
    in_use = tuple(parameter.key.in_use for parameter in parameters)
    combined = list(product(*(parameter.values for parameter in parameters)))
    found = [Setting(values, _equal([value.text for value in values], in_use)) for values in combined]
    if not any(setting.is_in_use for setting in found):
        first = [parameter.values[0] for parameter in parameters]
        values = tuple(value._replace(text=text) for value, text in zip(first, in_use, strict=True))
        found.append(Setting(values, is_in_use=True))
        if len(parameters) == 1 and all(quantity(setting.texts[0]) for setting in found):
            found.sort(key=lambda setting: _number(setting.texts[0]), reverse=_falls(parameters[0].values))
    return found


def _number(text: str) -> float:
    found = quantity(text)
    assert found is not None
    return found[0]


def _falls(values: Sequence[Value]) -> bool:
    return _number(values[-1].text) < _number(values[0].text)


def _equal(texts: Sequence[str], others: Sequence[str]) -> bool:
    return all(_same(one, two) for one, two in zip(texts, others, strict=True))


def _same(one: str, two: str) -> bool:
    first, second = quantity(one), quantity(two)
    if first is None or second is None:
        return one == two
    return math.isclose(first[0], second[0], rel_tol=1e-9)


def _refuse_broken(rules: RuleSet, rule_id: str, settings: Sequence[Setting]) -> None:
    """Raise RuleError with the problems of the first setting that the loader or the compiler refuses."""
    first: tuple[Problem, ...] = ()
    refused: list[Setting] = []
    for setting in settings:
        report = Report()
        changed = with_values(rules, rule_id, setting.values, report)
        if not report.errors:
            compiled(changed, report)
        if report.errors:
            first = first or report.errors
            refused.append(setting)
    if not refused:
        return
    told = Report()
    if len(settings) > 1:
        sound = [setting for setting in settings if setting not in refused and not setting.is_in_use]
        hint = f"accepted: {_ends(sound)}; " if sound else ""
        place = refused[0].values[0].key
        verb = "is" if len(refused) == 1 else "are"
        message = f"{len(refused)} of {len(settings)} settings {verb} refused: {_ends(refused)}"
        told.add("E077", place, message, f"{hint}another key can be set beside it: --param KEY=VALUE")
    raise RuleError(*first, *told.errors)


def _ends(settings: Sequence[Setting]) -> str:
    words = dict.fromkeys(" ".join(setting.texts) for setting in (settings[0], settings[-1]))
    return " ... ".join(words)


def _parameter(text: str, keys: dict[str, Key], expressions_: dict[str, str], report: Report, *, steps: int) -> Parameter | None:
    source = Source.of(_OPTION, text)
    name, equals, spec = text.partition("=")
    start = Place(source)
    if not equals or not spec.strip():
        report.add("E077", start, "expected KEY=VALUES", "levels.danger=0.6..0.9, for=1s,2s,5s")
        return None
    name = name.strip()
    key = keys.get(name)
    if key is None:
        if name in expressions_:
            message = f"{name} is an expression, not a number: {expressions_[name]}"
            report.add("E076", start, message, "give the number in it a name under let:, and try values of let.NAME")
        else:
            report.add("E075", start, f"this rule has no number {name!r}", _allowed(name, keys))
        return None
    values = list(_values(key, spec, Place(source, 1, len(text) - len(spec) + 1), report, steps=steps))
    return Parameter(key, tuple(Value(key.path, word, start, place) for word, place in values)) if values else None


def _allowed(name: str, keys: dict[str, Key]) -> str:
    close = did_you_mean(name, keys)
    return close if close.startswith("did you mean") else f"there are: {', '.join(keys)}"


def _values(key: Key, spec: str, place: Place, report: Report, *, steps: int) -> Iterator[tuple[str, Place]]:
    """Yield the values of a range or a list with their places; none where something is wrong, which is then in the report."""
    if _RANGE in spec:
        yield from _range(key, spec, place, report, steps=steps)
        return
    seen: set[str] = set()
    at = place.column
    for part in spec.split(","):
        word, here = part.strip(), place._replace(column=at + len(part) - len(part.lstrip()))
        at += len(part) + 1
        if not word:
            report.add("E077", here, "a value is missing between two commas")
        elif word not in seen:
            seen.add(word)
            yield word, here


def _range(key: Key, spec: str, place: Place, report: Report, *, steps: int) -> Iterator[tuple[str, Place]]:
    low, _, high = spec.partition(_RANGE)
    ends = [(low.strip(), place), (high.strip(), place._replace(column=place.column + len(low) + len(_RANGE)))]
    for word, here in ends:
        if quantity(word) is None:
            report.add(
                "E077", here, f"expected a number at each end, found {word!r}", "0.6..0.9, 1%..4%, 10s..60s, or a list: a,b,c"
            )
            return
    texts = between(ends[0][0], ends[1][0], steps)
    if texts is None:
        report.add("E077", ends[1][1], f"{ends[0][0]} and {ends[1][0]} have different units", "the same unit at both ends")
        return
    if key.is_whole:
        texts = list(dict.fromkeys(f"{round(float(text))}" if _is_number(text) else text for text in texts))
    last = len(texts) - 1
    for number, text in enumerate(dict.fromkeys(texts)):
        yield text, ends[1][1] if number == last else place


def _is_number(text: str) -> bool:
    found = quantity(text)
    return found is not None and found[1] is Unit.NONE


def between(low: str, high: str, steps: int) -> list[str] | None:
    """Return `steps` values, evenly from one end to the other, in the unit of both; None where the units differ.

    Examples
    --------
    >>> between("1%", "4%", 4), between("500ms", "1s", 3), between("0", "30bp", 3), between("1%", "4s", 2)
    (['1%', '2%', '3%', '4%'], ['500ms', '750ms', '1s'], ['0bp', '15bp', '30bp'], None)
    """
    first, last = _split(low), _split(high)
    if first[1] != last[1] and 0.0 in (first[0], last[0]) and "" in (first[1], last[1]):
        suffix = first[1] or last[1]
        first, last = (first[0], suffix), (last[0], suffix)
    if first[1] == last[1]:
        return [f"{value:.12g}{first[1]}" for value in _evenly(first[0], last[0], steps)]
    one, two = quantity(low), quantity(high)
    if one is None or two is None or one[1] is not two[1]:
        return None
    return [written_quantity(value, one[1]) for value in _evenly(one[0], two[0], steps)]


def _split(text: str) -> tuple[float, str]:
    found = _WRITTEN.match(text)
    assert found is not None
    return float(found[1]), found[2]


def _evenly(low: float, high: float, steps: int) -> list[float]:
    """Return values with three digits of their distance, so that they can be read and written again."""
    step = (high - low) / (steps - 1)
    if not step:
        return [low]
    digits = 2 - math.floor(math.log10(abs(step)))
    return [low, *(round(low + number * step, digits) for number in range(1, steps - 1)), high]
