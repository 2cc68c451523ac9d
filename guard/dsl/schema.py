"""JSON Schema (draft 7) of packs, their tests and guard.yaml, for editors: what guard refuses turns red while it is typed."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

from guard.dsl.examples import EXAMPLES
from guard.dsl.field_docs import field_docs
from guard.dsl.rule_models import Pack, RuleSpec
from guard.dsl.settings import GuardConfig
from guard.dsl.values import Model

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["config_schema", "pack_schema", "schema_of"]

_DRAFT: Final = "http://json-schema.org/draft-07/schema#"
_REF: Final = "#/$defs/"
_PARTIAL: Final = "Partial"
_TEST: Final = "Test"

Schema = dict[str, Any]


def pack_schema(case: type[Model] | None = None) -> Schema:
    """Return the schema of a pack; `case` is the model of one entry of `tests`, which may be anything without it."""
    schema = schema_of(Pack)
    _override(schema)
    if case is not None:
        test = schema_of(case)
        defs = {f"{_TEST}{name}": body for name, body in test.pop("$defs", {}).items()}
        del test["$schema"]
        for body in (test, *defs.values()):
            _rename(body, _TEST)
        schema["$defs"] |= defs | {f"{_TEST}Case": test}
        schema["properties"]["tests"]["additionalProperties"] = {"$ref": f"{_REF}{_TEST}Case"}
    return schema


def config_schema() -> Schema:
    """Return the schema of guard.yaml."""
    schema = schema_of(GuardConfig)
    rules = schema_of(RuleSpec)
    schema["$defs"] |= rules.pop("$defs") | {"RuleSpec": {key: rules[key] for key in rules if key != "$schema"}}
    _override(schema)
    return schema


def schema_of(model: type[Model]) -> Schema:
    """Return the schema of a model: defaults as they are written, examples, and a description that `$ref` does not hide."""
    schema = model.model_json_schema(by_alias=True)
    models = {found.__name__: found for found in _models(model)}
    for name, body in ((model.__name__, schema), *schema.get("$defs", {}).items()):
        of = models.get(name)
        for part in (body, *body.get("anyOf", ())):
            if of is not None and "properties" in part:
                _describe(of, part["properties"])
    _name_detectors(schema)
    return {"$schema": _DRAFT, **schema}


def _describe(model: type[Model], properties: dict[str, Schema]) -> None:
    defaults, docs = _written_defaults(model), field_docs(model)
    for name, field in model.model_fields.items():
        key = field.alias or name
        found = {"description": docs.get(name), **properties[key]}
        found["description"] = " ".join((found["description"] or "").split())
        properties[key] = _property(found, defaults.get(key), EXAMPLES.get(f"{model.__name__}.{key}", ()))


def _models(model: type[Model]) -> Iterator[type[Model]]:
    """Yield a model and those that its keys are made of."""
    seen: set[type[Model]] = set()
    waiting: list[Any] = [model]
    while waiting:
        found = waiting.pop()
        if isinstance(found, type) and issubclass(found, Model):
            if found not in seen:
                seen.add(found)
                yield found
                waiting += [field.annotation for field in found.model_fields.values()]
            continue
        waiting += getattr(found, "__args__", ())


def _written_defaults(model: type[Model]) -> Mapping[str, Any]:
    """Return the default of each key that has one, as a person writes it: ``30m`` and not a number of microseconds."""
    optional = {field.alias or name for name, field in model.model_fields.items() if not field.is_required()}
    dumped = model.model_construct().model_dump(mode="json", by_alias=True, warnings=False)
    return {key: value for key, value in dumped.items() if key in optional and value is not None}


def _property(found: Schema, default: Any, examples: tuple[Any, ...]) -> Schema:  # noqa: ANN401 - a default may be anything
    kept = {key: value for key, value in found.items() if key not in ("title", "default", "examples")}
    if "$ref" in kept:
        # Draft 7 ignores whatever stands beside $ref.
        kept["allOf"] = [{"$ref": kept.pop("$ref")}]
    if "patternProperties" in kept:
        kept["additionalProperties"] = False
    if isinstance(default, float) and default.is_integer():
        default = int(default)
    if default is not None:
        kept["default"] = default
    first = () if default in (None, [], {}, "") else (default,)
    shown = examples or (*first, *(each for each in found.get("examples", ()) if each not in first)) or _choices(found)
    shown = shown or (() if default is None else (default,))
    return {**kept, "examples": list(shown)} if shown else kept


def _choices(found: Schema) -> tuple[Any, ...]:
    for part in (found, *found.get("anyOf", ())):
        if "enum" in part or "const" in part or "examples" in part:
            return tuple(part.get("enum") or part.get("examples") or (part["const"],))
        if part.get("type") == "boolean":
            return (True, False)
    return ()


def _name_detectors(schema: Schema) -> None:
    """Let editors complete the detectors that are installed; others may be, where the rules run."""
    use = schema.get("$defs", {}).get("Use")
    if use is not None:
        names = sorted({point.name for point in entry_points(group="guard.detectors")})
        detector = use["properties"]["detector"]
        detector.pop("type", None)
        detector["anyOf"] = [{"enum": names}, {"type": "string"}]


def _override(schema: Schema) -> None:
    """Describe `override`: a rule's keys, none of which must be there, on any level."""
    defs = schema["$defs"]
    for name in sorted(_reached(defs, "RuleSpec")):
        partial = _copied(defs[name])
        partial.pop("required", None)
        for rest in partial.get("anyOf", ()):
            rest.pop("required", None)
        _rename(partial, _PARTIAL)
        defs[f"{_PARTIAL}{name}"] = partial
    override, rule = schema["properties"]["override"], {"$ref": f"{_REF}{_PARTIAL}RuleSpec"}
    names = override.get("patternProperties")
    override["additionalProperties"] = False if names else rule
    if names:
        override["patternProperties"] = dict.fromkeys(names, rule)


def _reached(defs: Mapping[str, Schema], name: str) -> set[str]:
    found, waiting = {name}, [name]
    while waiting:
        more = {ref.removeprefix(_REF) for ref in _refs(defs[waiting.pop()])} - found
        found |= more
        waiting += more
    return found


def _refs(node: Any) -> Iterator[str]:  # noqa: ANN401 - any part of a schema
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from _refs(each)


def _copied(node: Any) -> Any:  # noqa: ANN401 - likewise
    if isinstance(node, dict):
        return {key: _copied(value) for key, value in node.items()}
    return [_copied(value) for value in node] if isinstance(node, list) else node


def _rename(node: Any, prefix: str) -> None:  # noqa: ANN401 - likewise
    """Let all references of a part of a schema point at the names with a prefix."""
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str):
            node["$ref"] = f"{_REF}{prefix}{reference.removeprefix(_REF)}"
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            _rename(each, prefix)
