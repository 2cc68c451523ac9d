"""What the keys of configuration mean, from the docstrings below the fields of their models."""

from __future__ import annotations

import ast
import inspect
from itertools import pairwise
from textwrap import dedent

from guard.dsl.values import Model

__all__ = ["field_docs"]


def field_docs(model: type[Model]) -> dict[str, str]:
    """Return the docstrings of a model's fields by the names of the fields; those of what it inherits, too."""
    found: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if issubclass(kind, Model):
            found.update(_docs(kind))
    return found


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
