"""Installed actions in rules: found by their entry point, their arguments checked where they stand."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from guard.dsl.action_models import is_name
from guard.dsl.document import Entry, Items, Scalar, Table
from guard.dsl.installed import Installed
from guard.dsl.problems import did_you_mean
from guard.dsl.tokens import quantity
from guard.dsl.validation import validate
from guard.features.tables import Unit
from guard.model import ActionKind, ActionOrder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from guard.dsl.document import Node
    from guard.dsl.problems import Report
    from guard.dsl.rule_models import Step
    from guard.dsl.rules import RuleSource
    from guard.model.ports import Action

__all__ = ["ACTIONS", "InstalledActions", "check_actions", "fault_of", "orders_of", "parameters_of"]

ACTIONS = "guard.actions"
_INSTALL = "install its package where guard runs (guard rules check looks at this environment only)"


class InstalledActions(Installed["Action"]):
    """Actions of all installed packages, by name."""

    group = ACTIONS


def orders_of(steps: tuple[Step, ...]) -> tuple[ActionOrder, ...]:
    """Return what the steps of a level order beside alert and quarantine; the same twice counts once."""
    found: dict[ActionOrder, None] = {}
    for step in steps:
        if step.webhook is not None:
            found[ActionOrder(ActionKind.WEBHOOK, step.webhook.to)] = None
        if step.call is not None:
            found[ActionOrder(ActionKind.CALL, step.call.name, step.call.timeout_us, step.call.arguments)] = None
    return tuple(found)


def fault_of(action: object) -> str | None:
    """Return what keeps a class from being an action, None where it is one."""
    model = getattr(action, "Parameters", None)
    if not isinstance(action, type) or not callable(getattr(action, "run", None)):
        return "it must be a class with a method run(event)"
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return "it needs Parameters, a pydantic model"
    if not model.model_config.get("frozen") or model.model_config.get("extra") != "forbid":
        return 'its Parameters must say ConfigDict(frozen=True, extra="forbid"): no key of a rule may be passed over'
    return None


def parameters_of(action: type[Action], arguments: Mapping[str, Any]) -> Any:  # noqa: ANN401 - the action's own model
    """Return the Parameters that a rule's args stand for. Raises what the model raises."""
    model = action.Parameters
    return model.model_validate({name: _read(model, name, value) for name, value in arguments.items()})


def check_actions(
    source: RuleSource, webhooks: frozenset[str] | None, installed: Mapping[str, type[Action]], report: Report
) -> bool:
    """Check the names and arguments of a rule's webhooks and calls; returns whether all is well.

    `webhooks` are those of guard.yaml, None where it is not known.
    """
    before = report.error_count
    for step in _steps(source.node):
        _check_webhook(step.get("webhook"), webhooks, report)
        _check_call(step.get("call"), installed, report)
    return report.error_count == before


def _steps(rule: Table) -> Iterator[dict[str, Entry]]:
    actions = rule.entries.get("actions")
    for level in actions.node.entries.values() if actions is not None and isinstance(actions.node, Table) else ():
        for step in level.node.items if isinstance(level.node, Items) else ():
            if isinstance(step, Table):
                yield step.entries


def _check_webhook(entry: Entry | None, webhooks: frozenset[str] | None, report: Report) -> None:
    named = _named(entry, "to")
    if named is None:
        return
    if webhooks is None:
        message = f"the webhook {named.text!r} is a name in guard.yaml, which this check does not see"
        report.add("W070", named.place, message, "guard rules check, without a path or with that of guard.yaml, sees it")
    elif named.text not in webhooks:
        hint = did_you_mean(named.text, webhooks) or f"webhooks: {{{named.text}: {{url: ...}}}} in guard.yaml"
        report.add("E070", named.place, f"guard.yaml has no webhook {named.text!r}", hint)


def _check_call(entry: Entry | None, installed: Mapping[str, type[Action]], report: Report) -> None:
    named = _named(entry, "name")
    if named is None or entry is None:
        return
    if named.text not in installed:
        known = "installed here: " + ", ".join(sorted(installed)) if installed else "none is installed here"
        hint = did_you_mean(named.text, installed)
        report.add(
            "E071",
            named.place,
            f"no installed package has an action {named.text!r} (entry point group {ACTIONS}; {known})",
            hint if hint.startswith("did") else _INSTALL,
        )
        return
    try:
        action = installed[named.text]
        fault = fault_of(action)
        if fault is None:
            _check_arguments(action, entry, report)
    except Exception as error:  # noqa: BLE001 - importing or asking somebody's action may fail in any way; it is told at its line
        fault = f"{type(error).__name__}: {error}"
    if fault is not None:
        report.add("E072", named.place, f"the action {named.text!r} cannot be used: {fault}", "this is a mistake in the action")


def _check_arguments(action: type[Action], call: Entry, report: Report) -> None:
    model = action.Parameters
    args = call.node.entries.get("args") if isinstance(call.node, Table) else None
    if args is not None and not isinstance(args.node, Table):
        return
    entries = args.node.entries if args is not None and isinstance(args.node, Table) else {}
    place = call.key if args is None else args.key
    read = {name: Entry(entry.key, _read_node(model, name, entry.node)) for name, entry in entries.items()}
    validate(model, Table(read, place), report)


def _named(entry: Entry | None, key: str) -> Scalar | None:
    node: Node | None = entry.node if entry is not None else None
    if isinstance(node, Table):
        found = node.entries.get(key)
        node = None if found is None else found.node
    return node if isinstance(node, Scalar) and isinstance(node.value, str) and is_name(node.value) else None


def _read_node(model: type[BaseModel], name: str, node: Node) -> Node:
    return Scalar(_read(model, name, node.value), node.text, node.place, node.style) if isinstance(node, Scalar) else node


def _read(model: type[BaseModel], name: str, value: Any) -> Any:  # noqa: ANN401 - what stands in the file may be anything
    """Return a value with its unit read where the parameter is a time or a number: ``10s``, ``3%``, ``20M``."""
    field, found = model.model_fields.get(name), quantity(value) if isinstance(value, str) else None
    if field is None or found is None:
        return value
    amount, unit = found
    if field.annotation is timedelta and unit is Unit.DURATION:
        # pydantic's own way to write a time.
        return f"PT{amount / 1e6:.6f}S"
    if field.annotation is int and unit is not Unit.DURATION and amount == int(amount):
        return int(amount)
    return amount if field.annotation is float and unit is not Unit.DURATION else value
