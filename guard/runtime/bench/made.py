"""The one place of the bench that says which kernel a pipeline runs."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any

from guard.pipeline import Pipeline

if TYPE_CHECKING:
    from guard.dsl import Program
    from guard.pipeline import Settings

__all__ = ["OPTION", "made"]

OPTION = "jit"


def made(rules: Program, settings: Settings, *, is_jitted: bool) -> Pipeline:
    """Return a fresh pipeline with the kernel that is asked for."""
    options: dict[str, Any] = {OPTION: is_jitted} if OPTION in signature(Pipeline).parameters else {}
    return Pipeline(rules, settings, **options)
