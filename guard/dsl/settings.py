"""The keys of guard.yaml: one frozen model a concept, each default written once, here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from guard.dsl.action_models import WebhookSettings  # noqa: TC001 - pydantic reads the annotation
from guard.dsl.bot_models import BotList  # noqa: TC001 - likewise
from guard.dsl.bot_policies import BotName, BotSettings
from guard.dsl.http_models import HttpSettings
from guard.dsl.list_models import ListSettings  # noqa: TC001 - likewise
from guard.dsl.values import Duration, Model, Moment, OrText, Size, Words
from guard.errors import Problem  # noqa: TC001 - pydantic reads the annotation
from guard.model import EVERY_BOT, BotPolicy, Market, Mode, Target, TargetKind

__all__ = [
    "AlertSettings",
    "AllowEntry",
    "BackupSettings",
    "ChannelSettings",
    "ExchangeSettings",
    "GuardConfig",
    "HttpSettings",
    "LogSettings",
    "MarketWide",
    "RecordSettings",
    "StorageSettings",
]

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Base = Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9_-]{0,63}:)?[A-Za-z0-9._$-]{1,32}$")]
Asset = Annotated[str, Field(pattern=r"^[A-Za-z0-9._$-]{1,32}$")]
AlertLevel = Literal["warning", "danger", "critical"]


class ExchangeSettings(Model):
    """One exchange to watch, under a name of your own."""

    connector: str = "ccxt"
    """Where events come from: ccxt, sim (the embedded exchange), or an installed connector."""
    id: str | None = None
    """ccxt's id of the exchange; the default is the name."""
    markets: Words = ("*",)
    """Symbols to watch, `*` allowed."""
    exclude: Words = ()
    """Symbols that are left out."""
    quotes: Words = ()
    """Only markets paid in these assets; none means all."""
    where: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    """Only markets for which this holds: volume_24h_usd(), market_age(), usd_rate() and market.*; unknown counts as held."""
    from_bot: BotList | None = None
    """Watch what a bot trades; without markets: nothing else."""
    streams: tuple[Literal["trades", "book"], ...] = ("trades", "book")
    """What to subscribe to."""
    max_markets: Annotated[int, Field(ge=1, le=10_000)] = 100
    """At most so many markets, the ones with the most turnover; those that are written out or that a bot trades always count in."""
    reference: str | None = None
    """Symbol of the market leader; the default is BTC/USDT, or BTC in the quote that is watched."""
    urls: dict[str, SecretStr] = Field(default_factory=dict)
    """Addresses that replace ccxt's, a proxy's for example."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Handed to the connector as they are."""
    limits: dict[str, float] = Field(default_factory=dict)
    """Limits of the connector, its share of the exchange's REST quota for example."""

    @model_validator(mode="after")
    def _has_streams(self) -> Self:
        if not self.streams:
            raise ValueError("streams: needs trades, book or both")
        return self


class AllowEntry(Model):
    """A market, symbol or base asset that is never held back."""

    market: str | None = None
    """exchange:SYMBOL."""
    symbol: str | None = None
    """A symbol, on all exchanges."""
    base: str | None = None
    """A base asset, in all its markets."""
    rules: Words = ()
    """The rules that it overrides, by their ids; none means all."""
    until_us: Annotated[Moment | None, Field(alias="until")] = None
    """When the entry ends; a day counts to its end, UTC."""
    why: Annotated[str, Field(min_length=1)]
    """The reason, for those who read it later."""

    @field_validator("market", "symbol", "base")
    @classmethod
    def _is_spelt(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name is not None and info.field_name == "market":
            Market.parse(name)
        elif name is not None and (misspelt := Target(TargetKind(str(info.field_name)), name).misspelt):
            raise ValueError(misspelt)
        return name

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if sum(target is not None for target in (self.market, self.symbol, self.base)) != 1:
            raise ValueError("an allow entry names one of market:, symbol:, base:")
        return self


class ChannelSettings(Model):
    """One way to reach people."""

    url: SecretStr
    """An Apprise address: tgram://..., slack://..., mailto://..., json://..."""
    levels: tuple[AlertLevel, ...] = ("warning", "danger", "critical")
    """The levels that are sent here."""
    rules: Words = ("*",)
    """The rules that are sent here, `*` allowed."""
    daily_max: Annotated[int, Field(ge=1, le=10_000)] = 10
    """At most so many messages in 24 hours."""
    digest: bool = True
    """Whether the digest of the report is sent here, whatever the levels and rules; alerts.digest says how often."""


class QuietHours(Model):
    """When only urgent messages are sent; the others wait."""

    range: Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$")]
    """From-to, 22:00-07:00."""
    tz: str = "UTC"
    """Name of the time zone, Europe/Rome."""
    except_levels: Annotated[tuple[AlertLevel, ...], Field(alias="except")] = ("critical",)
    """Levels that are sent all the same."""


class GroupSettings(Model):
    """Messages of one moment become one."""

    by: tuple[Literal["rule", "exchange", "base"], ...] = ("rule",)
    """What messages must share to become one."""
    wait_us: Annotated[Duration, Field(alias="wait")] = 5_000_000
    """How long to wait for more of the same."""


def _whole_hours(every_us: int) -> int:
    if every_us % 3_600_000_000:
        raise ValueError("must be a whole number of hours, for reports count by the hour: 1h, 6h, 1d, 7d")
    return every_us


_DigestEvery = Annotated[Duration, Field(ge=3_600_000_000, le=604_800_000_000), AfterValidator(_whole_hours)]


class AlertSettings(Model):
    """Who is told what, and how often."""

    channels: dict[Name, ChannelSettings] = Field(default_factory=dict)
    """Ways to reach people, under names of your own."""
    group: GroupSettings = GroupSettings()
    """How messages of one moment become one."""
    repeat_us: Annotated[Duration, Field(alias="repeat", gt=0)] = 14_400_000_000
    """How long until an episode that goes on is told again."""
    quiet_hours: QuietHours | None = None
    """When only urgent messages are sent."""
    digest_us: Annotated[_DigestEvery | None, Field(alias="digest")] = None
    """How often a digest of the report is sent, at whole intervals of UTC, 1h to 7d; never without this key."""


def _market_wide(value: Any) -> Any:  # noqa: ANN401 - what stands in the file may be anything
    if value == "alert":
        return {"pause_entries": None}
    words = value.split() if isinstance(value, str) else []
    if words[:1] == ["pause_entries"] and len(words) <= 2:  # noqa: PLR2004 - the word and its duration
        return {"pause_entries": words[1]} if len(words) > 1 else {}
    if isinstance(value, str):
        raise ValueError(f"expected alert or pause_entries 10m, found {value[:40]!r}")  # noqa: TRY004 - pydantic wants ValueError
    return value


class MarketWide(Model):
    """What happens when the whole exchange moves: entries pause everywhere for a time, or people are told only."""

    pause_entries_us: Annotated[Annotated[Duration, Field(gt=0, le=86_400_000_000)] | None, Field(alias="pause_entries")] = (
        600_000_000
    )
    """How long, 24h at most; none means alert only."""


class BackupSettings(Model):
    """Backups of the ledger, in the folder `backups` of the state folder (which may be a link to another disk)."""

    every_us: Annotated[Duration, Field(alias="every", ge=60_000_000)] = 3_600_000_000
    """How often one is made; a journal tells what happened since."""
    keep: Annotated[int, Field(ge=2, le=1_000)] = 24
    """How many are kept."""
    size: Annotated[Size, Field(ge=1_000_000)] = 1_000_000_000
    """The oldest are removed where all of them take more; the newest stays."""


class StorageSettings(Model):
    """Where the ledger and the published state live."""

    path: str = ".guard"
    """Folder, relative to guard.yaml."""
    keep_us: Annotated[Duration, Field(alias="keep", gt=0)] = 7_776_000_000_000
    """How long what reports are made of is kept."""
    backups: BackupSettings = BackupSettings()
    """What a damaged ledger is rebuilt from."""


class RecordSettings(Model):
    """What is recorded while guard runs, in segments that a replay reads; it needs pyarrow, of the extra `record`."""

    folder: str = "tapes"
    """Folder of the segments, relative to guard.yaml; no other process may record there."""
    markets: Words = ("*",)
    """Markets to record, as exchange:SYMBOL, `*` allowed; only a recording of all can be replayed as recorded."""
    events: Annotated[tuple[Literal["trades", "book"], ...], Field(min_length=1)] = ("trades", "book")
    """What to record; gaps and the states of streams are always recorded."""
    segment_us: Annotated[Duration, Field(alias="segment", ge=1_000_000)] = 3_600_000_000
    """A segment is compacted once it is so long."""
    segment_size: Annotated[Size, Field(ge=1_000_000)] = 64_000_000
    """A segment is compacted once it takes so many bytes."""
    keep_us: Annotated[Duration | None, Field(alias="keep")] = 604_800_000_000
    """Segments that are older are removed; none keeps them."""
    keep_size: Size | None = 10_000_000_000
    """The oldest segments are removed where all of them take more; none keeps them."""
    leave_free: Size = 500_000_000
    """Recording stops while the disk has less free than this, so that guard itself can write."""


class LogSettings(Model):
    """What is written to stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is written."""
    format: Literal["auto", "text", "json"] = "auto"
    """auto: text on a terminal, json elsewhere."""


class ReloadSettings(Model):
    """How a running guard takes over changed rules."""

    watch: Literal["auto", "poll", "off"] = "auto"
    """auto: the system tells of changed files where watchfiles is installed; poll: look every second; off: only when asked."""
    require_tests: bool = False
    """Whether changed rules run only once their tests have passed."""


class GuardConfig(Model):
    """guard.yaml."""

    version: Literal[1] = 1
    """The version of this file's keys."""
    mode: Mode = Mode.OBSERVE
    """The ceiling: observe and alert never refuse an order."""
    rules: Words = ()
    """Shipped packs (guard:pump_dump) and files relative to this one, `*` allowed."""
    override: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Keys of rules that are replaced; mappings are merged by key."""
    exchanges: Annotated[dict[Name, ExchangeSettings], Field(min_length=1)]
    """What is watched, under names of your own."""
    bots: dict[BotName, BotSettings] = Field(default_factory=lambda: {"*": BotSettings()})
    """What each bot is held back from, by its name; `*` is all others."""
    aliases: Annotated[dict[Base, Asset], Field(max_length=4096)] = Field(default_factory=dict)
    """Which asset a base is, where an exchange spells it its own way: BEAMX: BEAM, or binance:BEAMX: BEAM for one exchange."""
    allow: tuple[AllowEntry, ...] = ()
    """What is never held back, and until when."""
    lists: Annotated[dict[Name, ListSettings], Field(max_length=20)] = Field(default_factory=dict)
    """What others say is not to be traded, under names of your own."""
    alerts: AlertSettings = AlertSettings()
    """Who is told what, and how often."""
    webhooks: dict[Name, WebhookSettings] = Field(default_factory=dict)
    """Endpoints that rules post to, by the names that rules use."""
    on_market_wide: Annotated[MarketWide, BeforeValidator(_market_wide), OrText(r"^(alert|pause_entries( \S+)?)$")] = MarketWide()
    """What happens when the whole exchange moves."""
    storage: StorageSettings = StorageSettings()
    """Where the ledger and the published state live."""
    record: RecordSettings | None = None
    """What is recorded; nothing is without it."""
    http: HttpSettings = HttpSettings()
    """What can be asked over HTTP, and by whom; nothing listens without it."""
    log: LogSettings = LogSettings()
    """What is written to stderr."""
    reload: ReloadSettings = ReloadSettings()
    """How changed rules are taken over."""

    _path: Path = PrivateAttr(default=Path("guard.yaml"))
    _tree: Any = PrivateAttr(default=None)
    _warnings: tuple[Problem, ...] = PrivateAttr(default=())

    @property
    def path(self) -> Path:
        """The file it was read from."""
        return self._path

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What was found in the file that forbids nothing: a secret that others can read, a key without effect."""
        return self._warnings

    @property
    def folder(self) -> Path:
        """The folder that relative paths start from."""
        return self._path.parent

    @property
    def state_folder(self) -> Path:
        """The folder of the ledger and the published state, unless GUARD_STATE names another."""
        return self.folder / self.storage.path

    def on_unknown(self) -> dict[str, dict[str, bool]]:
        """Return for each bot, ``*`` for all others, which reasons of unknown permit an order."""
        return {name: bot.on_unknown.permits() for name, bot in self._all_bots().items()}

    def silent_after(self) -> dict[str, int | None]:
        """Return after how many microseconds each bot that is named with it is missed; None for never."""
        return {name: bot.silent_after_us or None for name, bot in self.bots.items() if bot.silent_after_us is not None}

    def bot_policies(self) -> dict[str, BotPolicy]:
        """Return for each bot, ``*`` for all others, what else it is held back from."""
        return {name: bot.policy() for name, bot in self._all_bots().items()}

    def _all_bots(self) -> dict[str, BotSettings]:
        return {EVERY_BOT: BotSettings(), **self.bots}
