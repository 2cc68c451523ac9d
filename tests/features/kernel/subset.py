"""The kernel's functions as a compiler takes them."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import FunctionType
from typing import Any

import pytest

_PACKAGE = "guard.features.kernel"


def copy_each(x: Any, to: int, start: int, count: int) -> None:  # noqa: ANN401 - a list or an array
    """Do as `blocks.copy` does, one by one: a slice of an array is no copy."""
    if to <= start:
        for at in range(count):
            x[to + at] = x[start + at]
    else:
        for at in range(count - 1, -1, -1):
            x[to + at] = x[start + at]


@cache
def jitted(*modules: str) -> dict[Any, Any]:
    """Return the jitted twin of each function of these modules; each sees its fellows jitted. They compile when called."""
    numba = pytest.importorskip("numba", reason="numba is not installed: only the plain form runs here")
    blocks = import_module(f"{_PACKAGE}.blocks")
    scopes = {name: dict(import_module(f"{_PACKAGE}.{name}").__dict__) for name in ("blocks", *modules)}
    twins = {
        each: numba.njit(error_model="numpy")(FunctionType(each.__code__, scope, each.__name__))
        for name, scope in scopes.items()
        for each in list(scope.values())
        if isinstance(each, FunctionType) and each.__module__ == f"{_PACKAGE}.{name}"
    }
    twins[blocks.copy] = numba.njit(error_model="numpy")(copy_each)
    twins[blocks.find] = twins[blocks.find_each]
    twins[blocks.repeat] = twins[blocks.repeat_each]
    twins[blocks.weigh] = twins[blocks.weigh_each]
    for scope in scopes.values():
        for name, each in list(scope.items()):
            if isinstance(each, FunctionType) and each in twins:
                scope[name] = twins[each]
    return twins
