"""The question whether a bot may open, put to what is published rather than to a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.client.answer import Question, policy_of
from guard.client.policies import bot_policy
from guard.model.clearance import Intent

if TYPE_CHECKING:
    from guard.client.payload import Snapshot
    from guard.model.market import Market

__all__ = ["opening"]

_FOREVER_NS: Final = 1 << 62


def opening(snapshot: Snapshot, market: Market, bot: str | None, *, now_us: int, is_bypassed: bool) -> Question:
    """Return whether `bot` may open on `market`, by its policy; on either side. `now_us` is microseconds since 1970."""
    return Question(
        market=market,
        intent=Intent.OPEN,
        now_ns=0,
        wall_us=now_us,
        is_fresh=True,
        compares_clocks=False,
        policy=policy_of(snapshot, bot),
        bypass_end_ns=_FOREVER_NS if is_bypassed else 0,
        bot=bot_policy(snapshot, bot),
    )
