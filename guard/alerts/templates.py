"""Messages as sandboxed templates: facts in, a title and a body of plain, harmless text out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import DictLoader, StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from guard.alerts.display import display, is_plain_market
from guard.alerts.texts import TEXTS
from guard.errors import ConfigurationError, Problem
from guard.model import Block, IsolationState, Mode, TargetKind
from guard.model.moments import utc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.model import GroupStand, Market, Quarantine, Target, Transition, Verdict

__all__ = ["Message", "Messages", "about_quarantine", "about_risk", "about_verdict"]

_BODY_MAX = 3000
_TITLE_MAX = 160
_FACTORS_SHOWN = 2
_FINDINGS_SHOWN = 3
_EVIDENCE_SHOWN = 6
_CAUSES = {
    "rule": "the rule asked for it",
    "operator": "an operator ordered it",
    "calm": "the market was calm long enough",
    "floor": "its time is over",
    "max": "the longest time passed although the market was not calm",
    "probation_end": "probation passed without a new finding",
    "reoffence": "the market did it again on probation",
    "list": "its list names it no more",
    "rule_gone": "its rule holds nothing any more, and the announced end has come",
    "clock": "the wall clock was set between two runs",
}


class Message(NamedTuple):
    """What a person reads: one line of title, lines of body; plain text."""

    title: str
    body: str


class Messages:
    """Renders every message.

    Parameters
    ----------
    texts
        Jinja2 templates that replace the default of their kind; the first line is the title, ``why`` and ``look`` are parts of
        others. They run sandboxed; an unknown name is an error.

    Raises
    ------
    ConfigurationError
        A kind does not exist or a template cannot be parsed.

    Notes
    -----
    Each interpolated value passes `display`, whatever the template does; line breaks come from templates only.

    Examples
    --------
    >>> Messages().render("test", channel="telegram").title
    'guard test message for channel telegram'
    """

    def __init__(self, texts: Mapping[str, str] | None = None) -> None:
        unknown = sorted(set(texts or ()) - set(TEXTS))
        if unknown:
            raise ConfigurationError(_problem(unknown[0], f"there is no such message; allowed: {', '.join(TEXTS)}"))
        environment = ImmutableSandboxedEnvironment(
            loader=DictLoader({**TEXTS, **(texts or {})}),
            undefined=StrictUndefined,
            finalize=_finalize,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,
        )
        self._templates = {}
        for kind in TEXTS:
            try:
                self._templates[kind] = environment.get_template(kind)
            except TemplateError as error:
                raise ConfigurationError(_problem(kind, f"the template cannot be read: {error}")) from error

    def render(self, kind: str, **facts: object) -> Message:
        """Return the message of `kind`; raises ConfigurationError where a template names what does not exist."""
        try:
            text = self._templates[kind].render(facts)
        except (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise ConfigurationError(_problem(kind, f"the template cannot be rendered: {error}")) from error
        title, _, body = text.strip().partition("\n")
        body = body.strip()
        return Message(
            title if len(title) <= _TITLE_MAX else title[: _TITLE_MAX - 1] + "…",
            body if len(body) <= _BODY_MAX else body[: _BODY_MAX - 1] + "…",
        )


def about_risk(verdict: Verdict) -> dict[str, Any]:
    """Return score, the two factors that add most, and evidence, as texts: what is kept of a verdict."""
    ranked = sorted(verdict.risk.contributions, key=lambda part: (-part.share, part.factor))[:_FACTORS_SHOWN]
    return {
        "score": "" if verdict.risk.score is None else f"{verdict.risk.score:.2f}",
        "factors": [{"name": part.factor, "value": _number(part.value), "share": f"{part.share:.2f}"} for part in ranked],
        "findings": [
            {
                "detector": finding.detector,
                "score": f"{finding.score:.2f}",
                "evidence": [{"name": n, "value": _number(v)} for n, v in list(finding.evidence.items())[:_EVIDENCE_SHOWN]],
            }
            for finding in verdict.findings[:_FINDINGS_SHOWN]
        ],
    }


def about_verdict(verdict: Verdict, *, mode: Mode, held_by: str = "", blocked: str = "") -> dict[str, Any]:
    """Return what a message tells of a verdict; `held_by` is the id of a quarantine that holds the market, `blocked` its effect."""
    allowed = f"Nothing is blocked (mode {verdict.mode if mode is Mode.ENFORCE else mode}); exits always pass"
    return {
        **(_about_market(str(verdict.market)) if verdict.group is None else _about_group(verdict.group, verdict.market)),
        **about_risk(verdict),
        "rule": verdict.rule,
        "level": str(verdict.level),
        "id": held_by,
        "blocked": f"Already in quarantine {held_by}. {blocked}" if held_by else allowed,
    }


def about_quarantine(transition: Transition, risk: Mapping[str, Any] | None, *, mode: Mode) -> dict[str, Any]:
    """Return what a message tells of a transition; `risk` is `about_risk` of its rule's newest verdict, if there is one."""
    quarantine = transition.quarantine
    hold = quarantine.hold
    is_over = quarantine.state is IsolationState.NORMAL
    return {
        **_about_target(hold.target),
        "score": "",
        "factors": [],
        "findings": [],
        **(risk or {}),
        "rule": hold.rule or quarantine.actor,
        "level": str(hold.level),
        "id": quarantine.id,
        "reason": transition.reason or hold.reason,
        "ordered_by": transition.actor if transition.cause == "operator" else "",
        "cause": _CAUSES.get(transition.cause, transition.cause),
        "until": utc(quarantine.until_us),
        "is_floor": hold.release_for_us is not None and quarantine.state is IsolationState.QUARANTINED,
        "is_over": is_over,
        "summary": "free again" if is_over else "entries pass at a reduced size",
        "blocked": _blocked(quarantine, mode),
        "zone": "" if quarantine.founds_zone(transition.at_us) else hold.zone,
    }


def _about_market(text: str) -> dict[str, Any]:
    return {"market": text, "is_plain": is_plain_market(text)}


def _about_target(target: Target) -> dict[str, Any]:
    if target.kind is TargetKind.MARKET:
        return {**_about_market(str(target)), "kind": "Market"}
    # `guard why` asks about one market; base:PEPE/USDT reads like one of an exchange named base.
    return {"market": str(target), "is_plain": False, "kind": "Target"}


def _about_group(group: GroupStand, tipped: Market) -> dict[str, Any]:
    names = ", ".join(map(str, group.members)) + (f" and {group.more} more" if group.more > 0 else "")
    return {
        "market": str(group.target),
        "is_plain": False,
        "group": {"held": group.held, "of": group.of, "needed": group.needed, "markets": names},
        "tipped": str(tipped) if is_plain_market(str(tipped)) else "",
    }


def _blocked(quarantine: Quarantine, mode: Mode) -> str:
    if quarantine.state is IsolationState.NORMAL:
        return "Nothing is blocked any more"
    if quarantine.block is Block.SHRINK:
        what = f"entries limited to {quarantine.hold.max_fraction:.0%} of the usual size"
    else:
        what = "entries only"
    if mode is Mode.ENFORCE:
        return f"Blocked: {what}; exits always pass"
    return f"Not blocked, guard's mode is {mode}; enforce would block: {what}; exits always pass"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"


def _finalize(value: object) -> object:
    return display(value) if isinstance(value, str) else value


def _problem(kind: str, message: str) -> Problem:
    return Problem("guard.yaml", 1, 1, "E700", "bad-template", "error", f"alerts.templates.{kind}: {message}")
