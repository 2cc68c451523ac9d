"""What a bot meets when guard refuses an order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.errors import GuardError
from guard.model.moments import stamp

if TYPE_CHECKING:
    from guard.model.clearance import Clearance

__all__ = ["OrderRefused", "words_of"]


class OrderRefused(GuardError):
    """Guard refused an order, and nothing was sent.

    Attributes
    ----------
    market
        ``exchange:symbol``.
    clearance
        Guard's answer: why, until when, by which rule.
    """

    market: str
    clearance: Clearance

    def about(self, market: str, clearance: Clearance) -> OrderRefused:
        """Note what it is about, and return itself."""
        self.market, self.clearance = market, clearance
        return self


def words_of(market: str, clearance: Clearance) -> str:
    """Return a refusal in one sentence, as logs and errors show it.

    Examples
    --------
    >>> from guard.client import Guard
    >>> words_of("binance:X/USDT", Guard("/nowhere/.guard").check("binance", "X/USDT"))
    'guard refused an entry on binance:X/USDT: guard_silent; exits always pass'
    """
    rule = f" ({clearance.rule})" if clearance.rule else ""
    until = "" if clearance.until_us is None else f", until {stamp(clearance.until_us)}"
    held = f", quarantine {clearance.quarantine_id}" if clearance.quarantine_id else ""
    return f"guard refused an entry on {market}: {clearance.reason or clearance.status}{rule}{until}{held}; exits always pass"
