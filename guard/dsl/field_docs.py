"""What the keys of configuration mean, from the docstrings below the fields of their models."""

from __future__ import annotations

import ast
import inspect
from itertools import pairwise
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from guard.dsl.values import Model

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["documented", "field_docs"]


def documented(model: type[Model]) -> dict[str, Any]:
    """Return the JSON schema of a model, each key with its description."""
    schema = model.model_json_schema(by_alias=True)
    models = {kind.__name__: kind for kind in _kinds(Model)}
    definitions: dict[str, Any] = {model.__name__: schema, **schema.get("$defs", {})}
    for name, definition in definitions.items():
        if name in models:
            _describe(models[name], definition.get("properties", {}))
    return schema


def field_docs(model: type[Model]) -> dict[str, str]:
    """Return the docstrings of a model's fields by the names of the fields; those of what it inherits, too."""
    found: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if issubclass(kind, Model):
            found.update(_docs(kind))
    return found


def _describe(model: type[Model], properties: dict[str, Any]) -> None:
    docs = field_docs(model)
    for name, field in model.model_fields.items():
        key = field.alias or name
        if name in docs and key in properties and "description" not in properties[key]:
            properties[key] = dict(sorted({**properties[key], "description": docs[name]}.items()))


def _kinds(model: type[Model]) -> Iterator[type[Model]]:
    yield model
    for kind in model.__subclasses__():
        yield from _kinds(kind)


def _docs(kind: type[Model]) -> dict[str, str]:
    try:
        source = inspect.getsource(kind)
    except (OSError, TypeError):
        # Without its source (a frozen program) a model has no descriptions, and all else works.
        return {}
    (tree,) = ast.parse(dedent(source)).body
    assert isinstance(tree, ast.ClassDef)
    return {
        field.target.id: inspect.cleandoc(doc.value.value)
        for field, doc in pairwise(tree.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(doc, ast.Expr)
        and isinstance(doc.value, ast.Constant)
        and isinstance(doc.value.value, str)
    }
