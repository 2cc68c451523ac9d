"""The words guard thinks in: standard library only."""

from guard.model.action import ActionEvent, ActionHold, ActionKind, ActionOrder
from guard.model.alert import Delivery, DeliveryState
from guard.model.batch import ASK, BID, BUY, RECORD, SELL, Batch, Channel, Control, Flag, Kind, Status, event_key
from guard.model.bot import EVERY_BOT, NEW_US, BotPolicy, ListingAnswer, NewListings
from guard.model.clearance import Clearance, ClearanceStatus, Intent, Mode
from guard.model.command import AddMaintenance, AddQuarantine, Command, EndMaintenance, ReleaseQuarantine
from guard.model.decision import Decision, Image, MarketView, PublishedBypass
from guard.model.finding import Finding
from guard.model.group import GroupStand, Per, Quorum
from guard.model.market import DataState, Market, MarketClass, MarketFacts
from guard.model.quarantine import (
    Block,
    Hold,
    IsolationState,
    Quarantine,
    Target,
    TargetKind,
    Transition,
    quarantine_id,
)
from guard.model.risk import Contribution, Level, RiskScore
from guard.model.verdict import RuleMode, Verdict

__all__ = [
    "ASK",
    "BID",
    "BUY",
    "EVERY_BOT",
    "NEW_US",
    "RECORD",
    "SELL",
    "ActionEvent",
    "ActionHold",
    "ActionKind",
    "ActionOrder",
    "AddMaintenance",
    "AddQuarantine",
    "Batch",
    "Block",
    "BotPolicy",
    "Channel",
    "Clearance",
    "ClearanceStatus",
    "Command",
    "Contribution",
    "Control",
    "DataState",
    "Decision",
    "Delivery",
    "DeliveryState",
    "EndMaintenance",
    "Finding",
    "Flag",
    "GroupStand",
    "Hold",
    "Image",
    "Intent",
    "IsolationState",
    "Kind",
    "Level",
    "ListingAnswer",
    "Market",
    "MarketClass",
    "MarketFacts",
    "MarketView",
    "Mode",
    "NewListings",
    "Per",
    "PublishedBypass",
    "Quarantine",
    "Quorum",
    "ReleaseQuarantine",
    "RiskScore",
    "RuleMode",
    "Status",
    "Target",
    "TargetKind",
    "Transition",
    "Verdict",
    "event_key",
    "quarantine_id",
]
