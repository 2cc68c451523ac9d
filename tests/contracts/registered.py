"""Every registered detector, and one in plain Python beside them, since guard itself ships none."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

from detection.own import detector as own_detector
from detection.own import steep

from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.errors import RuleError

if TYPE_CHECKING:
    from guard.dsl import Program

PLAIN: Final = "in_plain_python"
REGISTERED: Final = sorted(point.name for point in entry_points(group="guard.detectors"))
NAMES: Final = [*REGISTERED, PLAIN]


@cache
def detectors() -> dict[str, Any]:
    """Return the classes by name."""
    loaded = {point.name: point.load() for point in entry_points(group="guard.detectors")}
    return {**loaded, PLAIN: own_detector(steep, PLAIN)}


def compiled_alone(name: str) -> Program:
    """Compile a rule whose only factor is the detector's score; raises RuleError with every problem."""
    report = Report()
    use = f"{{it: {{detector: {name}}}}}"
    text = f"rules:\n  one:\n    mode: alert\n    use: {use}\n    risk: {{it: {{weight: 1, value: it.score}}}}\n"
    rules = rules_from_text(text, report)
    if report.errors:
        raise RuleError(*report.errors)
    return compile_rules(rules, detectors=detectors())
