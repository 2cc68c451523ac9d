"""One contract for every registered action, and for the example of docs/actions.md, since guard itself ships none."""

from __future__ import annotations

import inspect
import json
import sys
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from typing import TYPE_CHECKING, Any

import pytest
from alerts.actions import Plain, Waiting
from own_action import EXAMPLE
from pydantic import BaseModel, ValidationError

from guard.dsl import rules_from_text
from guard.dsl.actions import fault_of, parameters_of
from guard.dsl.compilation import compiled
from guard.dsl.problems import Report

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.model.ports import Action


def example() -> type[Action]:
    spec = spec_from_file_location("guard_notebook_of_the_page", EXAMPLE / "guard_notebook.py")
    assert spec is not None
    assert spec.loader is not None
    # pydantic reads the annotations of a class by its module's name.
    module = sys.modules["guard_notebook_of_the_page"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    found: type[Action] = module.Append
    return found


ACTIONS: dict[str, Any] = {
    **{point.name: point.load() for point in entry_points(group="guard.actions")},
    "notebook.append": example(),
    "plain": Plain,
    "waiting": Waiting,
}


@pytest.fixture(params=sorted(ACTIONS))
def action(request: pytest.FixtureRequest) -> type[Action]:
    found: type[Action] = ACTIONS[request.param]
    return found


def test_it_is_an_action_whose_docstring_says_what_it_does(action: type[Action]) -> None:
    assert fault_of(action) is None
    assert inspect.getdoc(action)
    assert list(inspect.signature(action.run).parameters)[1:] == ["event"]


def test_its_examples_are_arguments_and_anything_beyond_is_refused(action: type[Action]) -> None:
    assert action.examples
    for arguments in action.examples:
        assert isinstance(parameters_of(action, arguments), BaseModel)
        with pytest.raises(ValidationError):
            parameters_of(action, {**arguments, "no_such_key": 1})


def test_its_parameters_cannot_be_changed_and_survive_the_ledger(action: type[Action]) -> None:
    for arguments in action.examples:
        parameters = parameters_of(action, arguments)
        assert parameters_of(action, json.loads(json.dumps(arguments))) == parameters
        for name in type(parameters).model_fields:
            with pytest.raises(ValidationError):
                setattr(parameters, name, getattr(parameters, name))


def test_it_can_be_made_without_doing_anything(action: type[Action]) -> None:
    before = len(Plain.ran)
    for arguments in action.examples:
        action(parameters_of(action, arguments))
    assert len(Plain.ran) == before


def test_a_rule_takes_its_examples(action: type[Action], monkeypatch: pytest.MonkeyPatch) -> None:
    found: Mapping[str, Any] = {"it": action}
    monkeypatch.setattr("guard.dsl.compilation.InstalledActions", lambda: found)
    for arguments in action.examples:
        call = json.dumps({"call": {"name": "it", "args": arguments}}, default=str)
        report = Report()
        head = "title: One, why: an example, mode: enforce, when: trades(10s) > 3, level: danger"
        text = f"rules: {{one: {{{head}, actions: {{danger: [{call}]}}}}}}"
        compiled(rules_from_text(text, report), report)
        assert report.problems == ()
