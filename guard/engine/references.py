"""Which market leads an exchange."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.model import Market

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.features.kernel import Kernel

__all__ = ["join_references"]


def join_references(kernel: Kernel, markets: Mapping[Market, int], references: Mapping[str, str], opened: Market) -> None:
    """Let a market that was opened follow the one that leads its exchange, and all others follow it where it is that one."""
    row = markets[opened]
    leader = markets.get(Market(opened.exchange, references.get(opened.exchange, "")))
    if leader != row:
        kernel.set_reference(row, leader)
        return
    for other, number in markets.items():
        if other.exchange == opened.exchange:
            kernel.set_reference(number, leader)
