"""Targets as they are written on the command line."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

import click

from guard.model.market import Market
from guard.model.quarantine import Target, TargetKind

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["target_argument", "target_or_id"]

_ID_DIGITS = 12


def target_argument(_: click.Context, __: click.Parameter, text: str) -> str:
    """Return a target in its written form. Raises click.BadParameter."""
    kind, colon, name = text.partition(":")
    if colon and name and kind in set(TargetKind):
        if misspelt := Target(TargetKind(kind), name).misspelt:
            raise click.BadParameter(misspelt)
        return text
    try:
        return str(Market.parse(text))
    except ValueError as error:
        raise click.BadParameter(f"{error}; or symbol:PEPE/USDT, base:PEPE, exchange:binance") from error


def target_or_id(context: click.Context, parameter: click.Parameter, text: str) -> Mapping[str, str]:
    """Return ``{"id": ...}`` for 12 hex digits, else ``{"target": ...}``. Raises click.BadParameter."""
    if len(text) == _ID_DIGITS and set(text) <= set(string.hexdigits):
        return {"id": text.lower()}
    if set(text) <= set(string.hexdigits):
        raise click.BadParameter(f"an id has {_ID_DIGITS} digits, as `ls` shows it; found {text!r}")
    return {"target": target_argument(context, parameter, text)}
