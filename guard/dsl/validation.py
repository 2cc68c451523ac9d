"""A positioned tree against a model: every mistake at its own line, in our words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from guard.dsl.document import Items, Node, Scalar, Table, find, plain
from guard.dsl.problems import Place, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pydantic_core import ErrorDetails

    from guard.dsl.problems import Report

__all__ = ["keys_allowed", "validate"]

M = TypeVar("M", bound=BaseModel)
_FOUND_MAX = 60
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
    values: Any = None,  # noqa: ANN401 - a tree of YAML is any tree
) -> M | None:
    """Return the model of a tree; None where it has mistakes, which are then in the report.

    `is_hidden` tells for a path whether its value may be a secret, which is never repeated in a message. `values` are the tree's
    plain values, where the caller has them already.
    """
    if not isinstance(node, Table):
        report.add("E011", node.place, "expected keys and values", "key: value")
        return None
    try:
        return model.model_validate(plain(node) if values is None else values)
    except ValidationError as error:
        for details in error.errors(include_url=False, include_context=True):
            if report.is_full:
                break
            _report(model, node, details, report, is_hidden)
        return None


def _report(
    model: type[BaseModel], root: Node, details: ErrorDetails, report: Report, is_hidden: Callable[[Sequence[str | int]], bool]
) -> None:
    kind, path = details["type"], details["loc"]
    is_key = bool(path) and path[-1] == "[key]"
    entry, walked = find(root, path)
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
        hint = did_you_mean(str(walked[-1]) if walked else "", [word for word in known if word not in present] or known)
    elif is_key:
        code, message, hint = "E025", f"{path[-2]!r} is not a name", "small letters, digits and underscores, first a letter"
        if kind in ("literal_error", "enum"):
            code, message = "E020", f"unknown key {path[-2]!r}"
            hint = did_you_mean(str(path[-2]), _choices(details))
    elif code == "E023":
        hint = did_you_mean(found.strip("'"), _choices(details))
    report.add(code, Place(place.source, place.line, place.column, is_hidden=hidden), message, hint)


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
            return f"expected a text like {context.get('pattern')}{tail}", ""
        case "string_too_short" | "too_short":
            return "must not be empty", ""
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            sign = {"greater_than": ">", "greater_than_equal": ">=", "less_than": "<", "less_than_equal": "<="}[kind]
            bound = next(iter(context.values()), "")
            return f"must be {sign} {bound}{tail}", ""
        case _:
            expected = _EXPECTED.get(kind)
            return (f"expected {expected}{tail}" if expected else f"{details['msg'][:1].lower()}{details['msg'][1:]}{tail}"), ""


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
