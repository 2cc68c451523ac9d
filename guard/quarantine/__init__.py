"""Who is held back, and how they get out; pure."""

from guard.quarantine.allow import AllowEntry, AllowList
from guard.quarantine.codec import (
    allow_from_json,
    allow_to_json,
    quarantine_from_json,
    quarantine_to_json,
    transition_from_json,
    transition_to_json,
)
from guard.quarantine.commands import OPERATOR_RULE
from guard.quarantine.isolation import FOREVER_US, IsolationManager
from guard.quarantine.lists import (
    is_extended,
    is_listed,
    latest_end_us,
    list_changes,
    list_order_from_json,
    list_order_to_json,
    list_rule,
)
from guard.quarantine.market_wide import MARKET_WIDE_RULE, BrakePolicy
from guard.quarantine.recovery import RecoveryHandler
from guard.quarantine.visible import VisibleBlocks

__all__ = [
    "FOREVER_US",
    "MARKET_WIDE_RULE",
    "OPERATOR_RULE",
    "AllowEntry",
    "AllowList",
    "BrakePolicy",
    "IsolationManager",
    "RecoveryHandler",
    "VisibleBlocks",
    "allow_from_json",
    "allow_to_json",
    "is_extended",
    "is_listed",
    "latest_end_us",
    "list_changes",
    "list_order_from_json",
    "list_order_to_json",
    "list_rule",
    "quarantine_from_json",
    "quarantine_to_json",
    "transition_from_json",
    "transition_to_json",
]
