"""The keys of a test file: one frozen model a concept, each default written once, here."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from guard.dsl.values import Duration, Model, OrText, RuleId, Words
from guard.model import Level, Market, MarketClass
from guard.runtime.rehearsal.values import Amount, Changed, Moved, Multiple, Rate, Share, When  # noqa: TC001 - pydantic reads the annotations

__all__ = ["Case", "CaseFile", "Expectation", "MarketSpec", "Order", "Recording", "Step", "Unplayable", "Wall", "Warm", "Wash"]

LevelName = Literal["normal", "warning", "danger", "critical"]


def _market(value: Any) -> Any:  # noqa: ANN401 - what stands in the file may be anything
    if isinstance(value, str):
        Market.parse(value)
    return value


MarketName = Annotated[str, BeforeValidator(_market), Field(max_length=128)]


class Unplayable(ValueError):
    """A test that cannot be played; `path` leads from the test's keys to what is wrong."""

    def __init__(self, message: str, *path: str | int) -> None:
        super().__init__(message)
        self.path = path


class MarketSpec(Model):
    """One scripted market: what is known of it, and how it trades while it is calm."""

    volume_24h_usd: Amount = 500_000.0
    """Turnover of a day, in USD; calm trading adds up to it."""
    market_class: Annotated[MarketClass, Field(alias="class")] = MarketClass.SPOT
    """What kind of market it is."""
    usd_rate: Amount = 1.0
    """USD value of one unit of quote."""
    tick: Amount | None = None
    """Price step; the default has five digits of the price."""
    age_us: Annotated[Duration | None, Field(alias="age")] = None
    """Time since listing; none: long listed."""
    tags: Words = ()
    """Words that rules scope by."""
    listing_risk: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    """How likely the exchange delists it or treats it specially; none: unknown."""
    streams: tuple[Literal["trades", "book"], ...] = ("trades", "book")
    """What is subscribed to; the others are absent."""
    price: Amount | None = None
    """Price at the start; the default is where the first move begins, else 100."""
    trades: Rate = 0.2
    """Calm taker orders a second."""
    spread: Share = 0.001
    """Calm spread."""
    depth_usd: Annotated[Amount | None, Field(alias="depth")] = None
    """Calm value within 20 bp of the mid on each side, in USD; the default is 1/200 of `volume_24h_usd`."""


class Warm(Model):
    """What happened before the beginning: calm history for the baselines, then calm live trading."""

    history_us: Annotated[Duration, Field(alias="history", le=604_800_000_000)] = 43_200_000_000
    """How much calm history the baselines know."""
    live_us: Annotated[Duration, Field(alias="live", gt=0, le=86_400_000_000)] = 1_860_000_000
    """The default covers windows of up to 30 minutes; it depends on no rule, so that a test plays alike beside any others."""


class Order(Model):
    """One taker order."""

    side: Literal["buy", "sell"]
    """Who takes."""
    size: Multiple = 1.0
    """Value, in multiples of a calm order's."""
    sweep: Annotated[int, Field(ge=1, le=200)] = 1
    """Price levels it takes: one print each."""


class Wall(Model):
    """Orders that rest at one price for a while and vanish unfilled."""

    side: Literal["bid", "ask"]
    """Where the orders rest."""
    size: Multiple
    """Value, in multiples of what usually rests within 20 bp on one side."""
    at: Share = 0.001
    """Distance from the mid."""
    for_us: Annotated[Duration, Field(alias="for", gt=0)]
    """How long they rest."""
    every_us: Annotated[Duration | None, Field(alias="every", ge=100_000)] = None
    """How often it is placed again; none: once."""
    times: Annotated[int, Field(ge=1, le=1000)] = 1
    """How often it is placed in all."""
    layers: Annotated[int, Field(ge=1, le=20)] = 1
    """Price levels it is spread over."""

    @model_validator(mode="after")
    def _repeats(self) -> Self:
        if (self.times > 1) != (self.every_us is not None):
            raise ValueError("a wall that comes again needs every: and times:")
        return self


class Wash(Model):
    """Trades of one hand with itself, inside the spread."""

    size: Multiple = 1.0
    """Value of each print, in multiples of a calm order's."""
    every_us: Annotated[Duration, Field(alias="every", ge=10_000)]
    """How often it happens."""
    for_us: Annotated[Duration, Field(alias="for", gt=0)]
    """How long it goes on."""
    prints: Annotated[int, Field(ge=1, le=2)] = 2
    """2: a buy and a sell of equal size within a second; 1: one print, on a side by chance."""


_ACTIONS = ("price", "trades", "order", "wall", "spread", "depth", "wash", "silence", "lost")


class Step(Model):
    """One thing that happens."""

    at_us: Annotated[Duration, Field(alias="at")]
    """When it begins, since the beginning of the test."""
    over_us: Annotated[Duration | None, Field(alias="over")] = None
    """How long `trades` last; the default is as long as the price moves."""
    market: Words = ()
    """Markets it happens on, "*" for all; the default is the test's market."""
    price: Moved = None
    """A move, "100 -> 106 over 30s"; without `trades` calm trading follows it."""
    trades: Rate | None = None
    """Taker orders a second, beside the calm ones."""
    side: Literal["buy", "sell", "both"] = "both"
    """Who takes in `trades`."""
    size: Multiple = 1.0
    """Value of each order, in multiples of a calm one's."""
    sweep: Annotated[int, Field(ge=1, le=50)] = 1
    """Price levels each order takes: one print each."""
    order: Order | None = None
    """One taker order."""
    wall: Wall | None = None
    """Orders that rest and vanish unfilled."""
    spread: Changed = None
    """Spread in multiples of the calm one, "5x over 10s for 1m"."""
    depth: Changed = None
    """Resting value in multiples of the calm one, "0.1x for 30s"."""
    wash: Wash | None = None
    """Trades of one hand with itself."""
    silence_us: Annotated[Duration | None, Field(alias="silence", gt=0)] = None
    """Nothing arrives for so long; nobody says why."""
    lost_us: Annotated[Duration | None, Field(alias="lost", gt=0)] = None
    """The connection is gone for so long."""

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        said = {name.removesuffix("_us") for name in self.model_fields_set} & set(_ACTIONS)
        if not said or (len(said) > 1 and said != {"price", "trades"}):
            raise ValueError(
                f"a step is one of {', '.join(_ACTIONS)}, or price with trades; found {', '.join(sorted(said)) or 'none'}"
            )
        if "trades" not in said and {"side", "size", "sweep", "over_us"} & self.model_fields_set:
            raise ValueError("side, size, sweep and over describe trades: 20/s; this step has no trades")
        if self.trades is not None and not self.lasts_us:
            raise ValueError('trades need over: 30s, or a price that moves "over 30s"')
        return self

    @property
    def lasts_us(self) -> int:
        """How long the step's own trades last."""
        return self.over_us if self.over_us is not None else self.price.over_us if self.price else 0

    @property
    def end_us(self) -> int:
        """When it is over."""
        lasts = [self.lasts_us, self.silence_us or 0, self.lost_us or 0, self.price.over_us if self.price else 0]
        lasts += [change.over_us + (change.for_us or 0) for change in (self.spread, self.depth) if change]
        if self.wall:
            lasts.append((self.wall.times - 1) * (self.wall.every_us or 0) + self.wall.for_us)
        if self.wash:
            lasts.append(self.wash.for_us)
        return self.at_us + max(lasts)


class Recording(Model):
    """Recorded trades instead of a script."""

    path: Annotated[str, Field(min_length=1, max_length=1024)]
    """File, relative to the test file."""
    exchange: str = "tape"
    """Name under which its markets appear."""
    begin_us: Annotated[When | None, Field(alias="from")] = None
    """What counts as the beginning; what lies before it is played as the warm-up. The default is the first trade."""
    end_us: Annotated[When | None, Field(alias="to")] = None
    """Where it is cut off."""


def _recording(value: Any) -> Any:  # noqa: ANN401 - likewise
    return {"path": value} if isinstance(value, str) else value


class Expectation(Model):
    """What must be seen; one of `at`, `by` and `never`."""

    at: When | None = None
    """At exactly this time."""
    by: When | None = None
    """At this time at the latest, and after what the expectation before it waited for."""
    never: Literal["warning", "danger", "critical", "blocked"] | None = None
    """In the whole test neither this level nor one above it; or no quarantine by the rule."""
    after: When | None = None
    """With `by`: not before this time."""
    level: LevelName | None = None
    """The level; with `by` one that is reached or passed."""
    at_least: Literal["warning", "danger", "critical"] | None = None
    """This level or one above it."""
    blocked: bool | None = None
    """Whether the rule's quarantine refuses entries."""
    market: MarketName | None = None
    """Another market than the test's own."""
    group: Annotated[str, Field(max_length=128)] | None = None
    """A symbol or an exchange, where the rule says per: symbol or per: exchange."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(part is not None for part in (self.at, self.by, self.never)) != 1:
            raise ValueError("an expectation has one of at:, by:, never:")
        says = [part is not None for part in (self.level, self.at_least, self.blocked)]
        if (self.never is None) != any(says) or (says[0] and says[1]):
            raise ValueError("with at: or by: say level: or at_least:, blocked:, or both; never: stands alone")
        if self.group is not None and self.market is not None:
            raise ValueError("an expectation is about a market: or a group:")
        if self.after is not None and (self.by is None or self.after > self.by):
            raise ValueError("after: belongs to by: and lies before it")
        return self

    @property
    def is_firing(self) -> bool:
        """Whether it asks for a level above normal."""
        return self.at_least is not None or self.blocked is True or self.level not in {None, "normal"}

    @property
    def floor(self) -> Level | None:
        """The level that must be there at least, or, for `never`, must not."""
        word = self.at_least or self.level or (None if self.never == "blocked" else self.never)
        return None if word is None else Level[word.upper()]


class Case(Model):
    """One test: a market, what happens on it, what is expected of one rule."""

    why: str = ""
    """What it shows, for people."""
    rule: RuleId
    """The rule that is tested."""
    others: Literal["fail", "ignore"] = "fail"
    """Whether a quarantine by another rule fails the test."""
    market: MarketName = "sim:TEST/USDT"
    """The market it is tested on, exchange:SYMBOL."""
    facts: MarketSpec = MarketSpec()
    """The test's market."""
    markets: dict[MarketName, MarketSpec] = Field(default_factory=dict)
    """Further markets, by name."""
    reference: MarketName | None = None
    """The market that leads its exchange, one of `markets`."""
    seed: Annotated[int, Field(ge=0)] = 1
    """What chance begins with; the same seed plays alike."""
    warm: Warm = Warm()
    """What happened before the beginning."""
    feed: tuple[Step, ...] = ()
    """What happens; nothing: the market stays calm."""
    recording: Annotated[Recording | None, BeforeValidator(_recording), OrText()] = None
    """Recorded trades in place of `feed`: a path, or its keys."""
    length_us: Annotated[Duration | None, Field(alias="length", gt=0, le=86_400_000_000)] = None
    """The default ends 5 s after the last step and expectation, at least a minute."""
    expect: tuple[Expectation, ...]
    """What must be seen, in order."""
    orders: tuple[Annotated[str, Field(pattern=r"^(webhook|call):[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")], ...] | None = None
    """All that the rule orders in the test, as webhook:NAME and call:NAME; an empty list: nothing. Nothing is posted nor called."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.expect:
            raise ValueError("a test expects something: expect: [{never: warning}]")
        if self.recording is not None and (self.feed or self.markets or self.length_us):
            raise ValueError("recording: stands in place of feed:, markets: and length:")
        known = {self.market, *self.markets}
        asked = {expectation.market for expectation in self.expect} | {self.reference}
        if self.recording is None and (strange := sorted({*asked, *self._step_markets()} - known - {None, "*"}, key=str)):
            raise ValueError(f"there is no market {strange[0]!r} in this test; there are {', '.join(sorted(known))}")
        return self

    def _step_markets(self) -> set[str]:
        return {name for step in self.feed for name in step.market}

    @property
    def is_firing(self) -> bool:
        """Whether it shows the rule fire."""
        return any(expectation.is_firing for expectation in self.expect)

    @property
    def is_calm(self) -> bool:
        """Whether it shows the rule stay silent."""
        return any(expectation.never == "warning" and expectation.market is None for expectation in self.expect)


class CaseFile(Model):
    """A test file, ``<pack>.test.yaml``."""

    version: Literal[1] = 1
    """The version of the language."""
    tests: Annotated[dict[RuleId, Case], Field(min_length=1, max_length=500)]
    """Tests by their name."""
