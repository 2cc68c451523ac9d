"""Who is held back, and how they get out; pure."""

from guard.quarantine.allow import AllowEntry
from guard.quarantine.codec import quarantine_from_json, quarantine_to_json, transition_from_json, transition_to_json
from guard.quarantine.commands import OPERATOR_RULE
from guard.quarantine.isolation import IsolationManager
from guard.quarantine.lists import is_listed, list_changes, list_order_from_json, list_order_to_json, list_rule
from guard.quarantine.recovery import RecoveryHandler
from guard.quarantine.visible import VisibleBlocks

__all__ = [
    "OPERATOR_RULE",
    "AllowEntry",
    "IsolationManager",
    "RecoveryHandler",
    "VisibleBlocks",
    "is_listed",
    "list_changes",
    "list_order_from_json",
    "list_order_to_json",
    "list_rule",
    "quarantine_from_json",
    "quarantine_to_json",
    "transition_from_json",
    "transition_to_json",
]
