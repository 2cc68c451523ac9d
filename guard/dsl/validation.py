"""A positioned tree against a model: every mistake at its own line, in our words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from guard.dsl.document import TORN, Items, Node, Scalar, Table, find, plain
from guard.dsl.problems import Place, did_you_mean, meant
from guard.dsl.tokens import quantity
from guard.features.tables import Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pydantic_core import ErrorDetails

    from guard.dsl.problems import Report

__all__ = ["keys_allowed", "validate"]

M = TypeVar("M", bound=BaseModel)
_FOUND_MAX = 60
_PERCENT_MAX = 100
_EXAMPLES = {
    "^([01][0-9]|2[0-3]):": "22:00-07:00",
    r"^(\[": "127.0.0.1:8787",
    "^[a-z][a-z0-9_]": "fast_move",
    "^[A-Za-z0-9._$": "PEPE",
    "^[A-Za-z0-9]": "my-bot_2",
}
_SECRET_KEYS = frozenset({"apikey", "api_key", "secret", "password", "passphrase", "token", "uid"})
_DURATIONS = {"d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1_000}
_SIZES = {"GB": 1_000_000_000, "MB": 1_000_000, "kB": 1_000}
_CODES = {
    "extra_forbidden": "E020",
    "missing": "E021",
    "literal_error": "E023",
    "enum": "E023",
    "value_error": "E025",
    "string_pattern_mismatch": "E025",
    "string_too_short": "E025",
    "greater_than": "E024",
    "greater_than_equal": "E024",
    "less_than": "E024",
    "less_than_equal": "E024",
    "finite_number": "E024",
    "too_long": "E024",
    "too_short": "E024",
}
_EXPECTED = {
    "string_type": "a text",
    "string_sub_type": "a text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "float_type": "a number",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
    "tuple_type": "a list",
    "list_type": "a list",
    "frozen_set_type": "a list",
}


def validate(
    model: type[M],
    node: Node,
    report: Report,
    *,
    is_hidden: Callable[[Sequence[str | int]], bool] = lambda _path: False,
    code: str | None = None,
    values: Any = None,  # noqa: ANN401 - a tree of YAML is any tree
) -> M | None:
    """Return the model of a tree; None where it has mistakes, which are then in the report.

    `is_hidden` tells for a path whether its value may be a secret, which is never repeated in a message. `code` is the id of every
    mistake, where there is one for all. `values` are the tree's plain values, where the caller has them already.
    """
    if not isinstance(node, Table):
        report.add("E011", node.place, "expected keys and values", "key: value")
        return None
    try:
        return model.model_validate(plain(node) if values is None else values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=True)
        misspelt = [details["loc"] for details in found if details["type"] == "extra_forbidden"]
        for details in found:
            if report.is_full:
                break
            if details["type"] == "missing" and _is_misspelt(details["loc"], misspelt):
                continue
            _report(model, node, details, report, is_hidden, code)
        return None


def _report(  # noqa: PLR0917 - all of it is about one mistake
    model: type[BaseModel],
    root: Node,
    details: ErrorDetails,
    report: Report,
    is_hidden: Callable[[Sequence[str | int]], bool],
    only: str | None,
) -> None:
    kind, path = details["type"], details["loc"]
    is_key = bool(path) and path[-1] == "[key]"
    entry, walked = find(root, path)
    if _follows(entry.node, kind):
        return
    place = (
        entry.key if is_key or kind in ("extra_forbidden", "missing") or not isinstance(entry.node, Scalar) else entry.node.place
    )
    hidden = is_hidden(walked) or place.is_hidden
    code = _CODES.get(kind, "E022")
    found = "" if hidden else _found(entry.node)
    message, hint = _words(kind, details, found, path)
    if hidden:
        message = message.partition(", found")[0]
    if kind == "extra_forbidden":
        owner, _ = find(root, walked[:-1])
        known = keys_allowed(model, walked[:-1])
        present = set(owner.node.entries) if isinstance(owner.node, Table) else set()
        hint = _key_hint(str(walked[-1]) if walked else "", [word for word in known if word not in present] or known)
    elif is_key:
        code, message, hint = "E025", f"{path[-2]!r} is not a name", "small letters, digits and underscores, first a letter"
        if str(details.get("ctx", {}).get("pattern", "")).startswith("^[A-Z"):
            hint = "letters, digits, - and _, first a letter or digit"
        if kind in ("literal_error", "enum"):
            code, message = "E020", f"unknown key {path[-2]!r}"
            hint = did_you_mean(str(path[-2]), _choices(details))
    elif code == "E023":
        is_quoted = found.strip("'") in _choices(details)
        hint = "write it without quotes" if is_quoted else did_you_mean(found.strip("'"), _choices(details))
    elif not hint and not hidden:
        hint = _type_hint(kind, entry.node)
    report.add(only or code, Place(place.source, place.line, place.column, is_hidden=hidden), message, hint)


def _is_misspelt(path: tuple[str | int, ...], unknown: Sequence[tuple[str | int, ...]]) -> bool:
    """Whether a missing key stands there in another spelling, which is told as an unknown key."""
    return any(other[:-1] == path[:-1] and meant(str(other[-1]), [str(path[-1])]) is not None for other in unknown)


def _like(pattern: str) -> str:
    """Return an example in place of a pattern of letters, which says little to most people."""
    return next((example for beginning, example in _EXAMPLES.items() if pattern.startswith(beginning)), pattern)


def _follows(node: Node, kind: str) -> bool:
    """Whether a mistake follows from another one, which is already told."""
    if isinstance(node, Scalar):
        return node.style == TORN
    if isinstance(node, Items) and kind == "too_short":
        # What is in the list was refused, and is told: it is not empty.
        return bool(node.items)
    return isinstance(node, Table) and node.is_torn and kind in ("missing", "value_error")


_OTHER_WORDS = {
    "condition": "when", "expr": "when", "expression": "when", "if": "when", "description": "why", "desc": "why", "reason": "why",
    "name": "title", "severity": "level", "priority": "level", "cooldown": "clear", "enabled": "mode", "on": "actions",
    "exceptions": "unless", "labels": "tags", "factors": "risk", "thresholds": "levels", "pairs": "markets", "symbols": "symbol",
    "extends": "macros", "duration": "for", "every": "repeat",
}  # fmt: skip


def _key_hint(word: str, known: Sequence[str]) -> str:
    """Return the key that was probably meant, also where other programs call it something else."""
    if not word.isprintable() or word != word.strip():
        return "an invisible character in the key: delete it"
    if word.lower() in _SECRET_KEYS:
        return "guard needs no keys of an exchange, it reads public data only: remove it"
    other = _OTHER_WORDS.get(word.lower())
    return f"did you mean {other}?" if other in known else did_you_mean(word, known)


def _words(kind: str, details: ErrorDetails, found: str, path: Sequence[str | int]) -> tuple[str, str]:  # noqa: PLR0911 - one case for each kind of mistake
    context = details.get("ctx", {})
    tail = f", found {found}" if found else ""
    match kind:
        case "extra_forbidden":
            return f"unknown key {path[-1]!r}", ""
        case "missing":
            return f"the key {path[-1]!r} is missing", ""
        case "value_error":
            text = str(context.get("error", details["msg"]))
            return text, ""
        case "literal_error" | "enum":
            return f"expected {context.get('expected', 'another word')}{tail}", ""
        case "string_pattern_mismatch":
            return f"expected a text like {_like(str(context.get('pattern')))}{tail}", ""
        case "string_too_short" | "too_short":
            return "must not be empty", ""
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            sign = {"greater_than": ">", "greater_than_equal": ">=", "less_than": "<", "less_than_equal": "<="}[kind]
            bound = next(iter(context.values()), "")
            return f"must be {sign} {_bound(bound, found)}{tail}", ""
        case _:
            expected = _EXPECTED.get(kind)
            return (f"expected {expected}{tail}" if expected else f"{details['msg'][:1].lower()}{details['msg'][1:]}{tail}"), ""


def _bound(bound: object, found: str) -> str:
    """Return a bound in the unit in which the value is written: microseconds and bytes say little to most people."""
    if not isinstance(bound, int | float):
        return str(bound)
    word = found.strip("'").rpartition(" ")[2]
    value = quantity(word)
    if value is not None and value[1] is Unit.DURATION:
        return next((f"{bound / size:g}{unit}" for unit, size in _DURATIONS.items() if bound and bound % size == 0), f"{bound:g}")
    if word.endswith("B") and word[:1].isdigit():
        return next((f"{bound / size:g}{unit}" for unit, size in _SIZES.items() if bound % size == 0), f"{bound:g}")
    return f"{bound:g}"


def _type_hint(kind: str, node: Node) -> str:
    if kind in ("string_type", "string_sub_type") and isinstance(node, Scalar) and node.text:
        return f'quote it: "{node.text[:_FOUND_MAX]}"'
    if _EXPECTED.get(kind) == "keys and values" and isinstance(node, Items):
        return "write name: ..., without - or [ ]"
    if kind == "less_than_equal" and isinstance(node, Scalar) and isinstance(node.value, int) and 1 < node.value <= _PERCENT_MAX:
        return f"did you mean {node.value}%?"
    return ""


def _choices(details: ErrorDetails) -> list[str]:
    expected = str(details.get("ctx", {}).get("expected", ""))
    return [word.strip(" '") for word in expected.replace(" or ", ",").split(",") if word.strip(" '")]


def _found(node: Node) -> str:
    match node:
        case Scalar():
            text = node.text if len(node.text) <= _FOUND_MAX else f"{node.text[:_FOUND_MAX]}..."
            return repr(text) if text else "nothing"
        case Table():
            return "keys and values"
        case Items():
            return "a list"


def keys_allowed(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """Return the keys that may stand at `path` of a document of `model`."""
    kinds: list[Any] = [model]
    for part in path:
        kinds = [deeper for kind in kinds for deeper in _step_into(kind, part)]
    return sorted({field.alias or name for kind in kinds for name, field in _fields(kind).items()})


def _fields(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - an annotation is any object
    return dict(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else {}


def _step_into(kind: Any, part: str | int) -> list[Any]:  # noqa: ANN401 - likewise
    for name, field in _fields(kind).items():
        if part in (name, field.alias):
            return _spread(field.annotation)
    if get_origin(kind) is dict:
        return _spread(get_args(kind)[1])
    if get_origin(kind) in (list, tuple) and get_args(kind):
        return _spread(get_args(kind)[0])
    return []


def _spread(annotation: Any) -> list[Any]:  # noqa: ANN401 - likewise
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation]
    if get_origin(annotation) in (dict, list, tuple):
        return [annotation]
    if hasattr(annotation, "__metadata__"):
        return _spread(get_args(annotation)[0])
    return [deeper for argument in get_args(annotation) for deeper in _spread(argument)]
