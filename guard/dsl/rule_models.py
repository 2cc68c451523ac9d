"""The keys of a rule pack: one frozen model a concept, each default written once, here."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, model_serializer, model_validator
from pydantic.json_schema import JsonSchemaValue  # noqa: TC002 - pydantic reads the annotation

from guard.dsl.action_models import CallAction, WebhookAction, named, one_action, word_action
from guard.dsl.values import Duration, Model, OrOne, QuorumOf, Ratio, RuleId, Weight, Words, Written
from guard.model import Block, Level, MarketClass, Per, Quorum, RuleMode, TargetKind

__all__ = [
    "Clear",
    "Escalate",
    "FactorSpec",
    "Levels",
    "Pack",
    "QuarantineAction",
    "Release",
    "RuleSpec",
    "ScopeSpec",
    "Step",
    "Use",
]

ENTRIES_MAX = 64
"""Detectors, named expressions, exceptions or factors of one rule."""
STEPS_MAX = 16
"""Actions of one level."""

_LONGEST_US = 86_400_000_000

LevelName = Literal["warning", "danger", "critical"]


class ScopeSpec(Model):
    """Which markets a rule looks at. A condition whose value is unknown counts as in scope."""

    exchange: Words = ()
    """Names of exchanges in guard.yaml, `*` allowed; none means all."""
    symbol: Words = ("*",)
    """Symbols, `*` allowed: "*/USDT"."""
    exclude: Words = ()
    """Symbols that are left out."""
    quote: Words = ()
    """Assets that are paid: USDT, USDC."""
    market_class: Annotated[
        tuple[MarketClass, ...],
        BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
        OrOne(),
        Field(alias="class"),
    ] = ()
    """Kinds of market; none means all."""
    tags: Words = ()
    """One of these tags must be on the market."""
    where: Written | None = None
    """A condition that must not be false."""


class Use(Model):
    """One detector, under a name of the rule's own."""

    detector: str
    """Name of an installed detector."""
    params: dict[str, str | float | bool | list[str]] = Field(default_factory=dict)
    """Its parameters; the others keep their defaults."""


class FactorSpec(Model):
    """One factor of the risk score."""

    weight: Weight
    """Share in the score against the other factors."""
    value: Written
    """A number; what is below 0 or above 1 is cut off."""
    optional: bool = False
    """Whether the score can do without it. A required factor that is unknown makes the score unknown."""


class Levels(Model):
    """From which score on a level holds."""

    warning: Ratio = 0.6
    """From this score on: people may be told."""
    danger: Ratio = 0.8
    """From this score on: entries may be refused."""
    critical: Ratio = 0.9
    """From this score on: the worst."""

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if not 0.0 < self.warning <= self.danger <= self.critical:
            raise ValueError(
                f"levels must rise: 0 < warning {self.warning:g} <= danger {self.danger:g} <= critical {self.critical:g}"
            )
        return self


class Clear(Model):
    """When an episode is over and the level returns to normal."""

    when: Written | None = None
    """A condition, may use score; the default is that the rule does not fire or the score is below warning."""
    for_us: Annotated[Duration, Field(alias="for")] = 60_000_000
    """How long it must hold."""


class Escalate(Model):
    """How the time grows when the same rule holds the same target again."""

    factor: Annotated[float, Field(ge=1.0, le=100.0)] = 2.0
    """What the time is multiplied with at each repetition."""
    max_us: Annotated[Duration, Field(alias="max", gt=0)] = 86_400_000_000
    """The longest time, whatever the repetitions; 24h at most. Only a person holds for longer."""
    jitter: Ratio = 0.0
    """A repetition lasts up to this share longer, drawn for each, so that its end cannot be foreseen; max holds for that, too."""
    forget_us: Annotated[Duration, Field(alias="forget")] = 604_800_000_000
    """After so long without a quarantine the count begins anew."""


class Release(Model):
    """What must be seen after the time is over before a market is let go."""

    when: Written | None = None
    """A condition, may use score; the default is that of clear."""
    for_us: Annotated[Duration, Field(alias="for")] = 600_000_000
    """How long it must hold."""
    probation_us: Annotated[Duration, Field(alias="probation")] = 1_800_000_000
    """How long entries stay small afterwards."""


class QuarantineAction(Model):
    """Hold a target back."""

    target: TargetKind | None = None
    """What is held back: this market, its symbol on all exchanges, its base asset, or the whole exchange; the default is what has
    the level, `per` of the rule. It must hold every market of a group."""
    block: Block = Block.ENTRIES
    """What is refused meanwhile; reducing and closing always pass."""
    for_us: Annotated[Duration, Field(alias="for", gt=0)] = 1_800_000_000
    """The least time."""
    escalate: Escalate = Escalate()
    """How the time grows with repetitions."""
    release: Release = Release()
    """What must be seen before the target is let go."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.escalate.max_us > _LONGEST_US:
            raise ValueError("escalate.max is longer than 24h: only a person holds for longer (guard quarantine extend)")
        if self.escalate.max_us < self.for_us:
            raise ValueError("escalate.max is shorter than for")
        return self


class Step(Model):
    """One action: `alert`, `webhook: NAME`, `call:` or `quarantine:` with its keys."""

    alert: bool = False
    """Tell the channels of guard.yaml."""
    quarantine: QuarantineAction | None = None
    """Hold the market, or more, back."""
    webhook: Annotated[WebhookAction | None, BeforeValidator(named("to"))] = None
    """Post what was found to an endpoint that guard.yaml names."""
    call: Annotated[CallAction | None, BeforeValidator(named("name"))] = None
    """Run code that is installed beside guard; only in mode enforce."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        one_action(self.alert, self.quarantine, self.webhook, self.call)
        return self

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        return {name: value for name, value in self if value}

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: GetJsonSchemaHandler) -> JsonSchemaValue:  # noqa: ANN401 - theirs
        """Say that the bare words are allowed, too."""
        keys = handler.resolve_ref_schema(handler(core_schema))
        for name in ("webhook", "call"):
            keys["properties"][name]["anyOf"].append({"type": "string"})
        return {"anyOf": [{"enum": ["alert", "quarantine"]}, keys]}


def _aimed(step: Step, target: TargetKind) -> Step:
    """Return a step whose quarantine says what it holds."""
    if step.quarantine is None or step.quarantine.target is not None:
        return step
    return step.model_copy(update={"quarantine": step.quarantine.model_copy(update={"target": target})})


Action = Annotated[Step, BeforeValidator(word_action)]


_DEFAULT_ACTIONS: dict[LevelName, tuple[Step, ...]] = {"warning": (Step(alert=True),)}


class RuleSpec(Model):
    """One rule, as it stands in the file."""

    title: str = ""
    """One line for people."""
    why: str = ""
    """Why it exists, and what was measured."""
    mode: RuleMode = RuleMode.SHADOW
    """How far it may go: disabled, shadow (computed and shown only), alert, enforce."""
    tags: Words = ()
    """Words to find the rule by."""
    scope: ScopeSpec = ScopeSpec()
    """Which markets the rule looks at."""
    per: Per = Per.MARKET
    """What has one level, one alert and one quarantine: each market, a symbol over all exchanges in scope, or an exchange."""
    quorum: QuorumOf | None = None
    """With per: symbol or exchange: how many of its markets must hold a level at the same time, a count or a share such as 30% of
    those in scope (two at least); the default is 1."""
    use: dict[RuleId, Use] = Field(default_factory=dict, max_length=ENTRIES_MAX)
    """Detectors, by the name that expressions use: pump.score."""
    let: dict[RuleId, Written] = Field(default_factory=dict, max_length=ENTRIES_MAX)
    """Named expressions."""
    when: Written | None = None
    """The condition; without it only the score counts."""
    unless: dict[RuleId, Written] = Field(default_factory=dict, max_length=ENTRIES_MAX)
    """Named exceptions: one that holds keeps the rule silent."""
    risk: dict[RuleId, FactorSpec] = Field(default_factory=dict, max_length=ENTRIES_MAX)
    """Factors of the score."""
    levels: Levels = Levels()
    """From which score on a level holds."""
    level: LevelName | None = None
    """The level of a rule without risk."""
    for_us: Annotated[Duration, Field(alias="for")] = 0
    """How long the condition must hold before a level begins."""
    clear: Clear = Clear()
    """When an episode is over."""
    actions: dict[LevelName, Annotated[tuple[Action, ...], Field(max_length=STEPS_MAX)]] = Field(
        default_factory=lambda: dict(_DEFAULT_ACTIONS)
    )
    """What happens at a level and at the ones above it, until one of them has actions of its own."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.when is None and not self.risk:
            raise ValueError("a rule needs when: or risk:")
        if not self.risk and self.level is None:
            raise ValueError("a rule without risk: needs level: warning, danger or critical")
        if self.risk and self.level is not None:
            raise ValueError("level: is for a rule without risk:; use levels:")
        if self.risk and all(factor.optional for factor in self.risk.values()):
            raise ValueError("one factor of risk: must be required (optional: false)")
        return self

    @model_validator(mode="after")
    def _is_resolved(self) -> Self:
        quorum = self.quorum or (None if self.per is Per.MARKET else Quorum())
        actions = {level: tuple(_aimed(step, self.per.target) for step in steps) for level, steps in self.actions.items()}
        return self.model_copy(update={"actions": actions, "quorum": quorum})

    @property
    def fixed_level(self) -> Level | None:
        """The level of a rule without risk."""
        return Level[self.level.upper()] if self.level is not None else None


class Pack(Model):
    """A file of rules."""

    version: Literal[1] = 1
    """The version of the language."""
    include: Words = ()
    """Packs that belong to this one: paths or globs, relative to this file."""
    lists: dict[RuleId, tuple[str, ...]] = Field(default_factory=dict)
    """Named lists of texts: $majors."""
    macros: dict[RuleId, Written] = Field(default_factory=dict)
    """Named expressions for all rules of the file."""
    rules: dict[RuleId, RuleSpec] = Field(default_factory=dict)
    """Rules by their id."""
    override: dict[RuleId, dict[str, Any]] = Field(default_factory=dict)
    """Keys of rules of other files that are replaced; mappings are merged by key."""
    tests: dict[str, Any] = Field(default_factory=dict)
    """Tests of these rules, with the keys of a test file; `guard rules test` checks and plays them."""
