"""The reason that a person gives for an order."""

from __future__ import annotations

import click

__all__ = ["reason_option"]


def reason_option(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    """Return the reason as it was given (a callback of click). Raises click.BadParameter where it says nothing."""
    if text is not None and not text.strip():
        raise click.BadParameter('it is empty; say why in some words: --reason "announced delisting"')
    return text
