"""The rule language: YAML to a positioned tree, to checked expressions, to one compiled function."""

from guard.dsl.compilation import compile_rules
from guard.dsl.loading import check, load_guard, load_rules, pack_folder, shipped_packs
from guard.dsl.patterns import matches, matches_any
from guard.dsl.program import Binding, Explanation, Program
from guard.dsl.rule import Actions, Factor, Outcome, Rule, UsedDetector
from guard.dsl.rule_models import QuarantineAction
from guard.dsl.rules import RuleSet, rules_from_text, rules_from_texts
from guard.dsl.settings import ChannelSettings, ExchangeSettings, GuardConfig

__all__ = [
    "Actions",
    "Binding",
    "ChannelSettings",
    "ExchangeSettings",
    "Explanation",
    "Factor",
    "GuardConfig",
    "Outcome",
    "Program",
    "QuarantineAction",
    "Rule",
    "RuleSet",
    "UsedDetector",
    "check",
    "compile_rules",
    "load_guard",
    "load_rules",
    "matches",
    "matches_any",
    "pack_folder",
    "rules_from_text",
    "rules_from_texts",
    "shipped_packs",
]
