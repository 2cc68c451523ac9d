"""From guard.yaml to what the parts are given: after start nobody reads configuration."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from guard.alerts.endpoints import Endpoint
from guard.alerts.policy import AlertPolicy, ChannelPolicy, alert_policy
from guard.dsl.market_where import MarketWhere
from guard.errors import ConfigurationError, Problem
from guard.model import Mode, Target, TargetKind
from guard.model.ports import ConnectorContext
from guard.pipeline import Settings
from guard.quarantine import AllowEntry, BrakePolicy
from guard.runtime.feed import FeedPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.dsl import ExchangeSettings, GuardConfig
    from guard.model.ports import Clock, Connector, Random
    from guard.runtime.state import StateFolder

__all__ = [
    "PEERS_MIN",
    "board_policy",
    "channel_urls",
    "connector_factory",
    "endpoints",
    "feed_plan",
    "pipeline_settings",
    "tape_settings",
]

PEERS_MIN = 3
# Streams begin soon: what is missing of the past comes beside them.
_HISTORY_WAIT_S = 5.0
# The market leader, where it is watched: returns are then judged net of what it explains.
_REFERENCE = "BTC/USDT"


def pipeline_settings(config: GuardConfig) -> Settings:
    """Return what decisions depend on."""
    return Settings(
        mode=config.mode,
        alerts=alert_policy(config.alerts, config.mode),
        allow=tuple(_allow(entry) for entry in config.allow),
        references={name: _reference(exchange) for name, exchange in config.exchanges.items()},
        on_unknown=config.on_unknown(),
        has_peers=len(config.exchanges) >= PEERS_MIN,
        aliases=dict(config.aliases),
        brake=BrakePolicy(pause_us=config.on_market_wide.pause_entries_us),
    )


def tape_settings(tape: Any, *, mode: Mode = Mode.ENFORCE) -> Settings:  # noqa: ANN401 - guard imports no connector
    """Return what decisions depend on where what `guard.runtime.replay.opened_tape` returned is replayed without guard.yaml."""
    exchanges = tape.exchanges
    return Settings(mode=mode, references=dict.fromkeys(exchanges, _REFERENCE), has_peers=len(exchanges) >= PEERS_MIN)


def board_policy() -> AlertPolicy:
    """Return the alert policy of a run without guard.yaml: one channel that would push danger and critical."""
    return AlertPolicy(channels=(ChannelPolicy("push"),))


def _allow(entry: Any) -> AllowEntry:  # noqa: ANN401 - the settings' own class of the same name
    kinds = {TargetKind.MARKET: entry.market, TargetKind.SYMBOL: entry.symbol, TargetKind.BASE: entry.base}
    ((kind, name),) = ((kind, name) for kind, name in kinds.items() if name is not None)
    return AllowEntry(Target(kind, name), frozenset(entry.rules), until_us=entry.until_us, reason=entry.why)


def _reference(exchange: ExchangeSettings) -> str:
    if exchange.reference:
        return exchange.reference
    return f"BTC/{exchange.quotes[0]}" if exchange.quotes else _REFERENCE


def channel_urls(config: GuardConfig) -> dict[str, str]:
    """Return each channel's Apprise address."""
    return {name: channel.url.get_secret_value() for name, channel in config.alerts.channels.items()}


def endpoints(config: GuardConfig) -> dict[str, Endpoint]:
    """Return each webhook as it is posted to."""
    found = {}
    for name, each in config.webhooks.items():
        url, key, headers = each.opened()
        found[name] = Endpoint(url, key, each.timeout_us / 1e6, headers)
    return found


def feed_plan(name: str, exchange: ExchangeSettings, *, history_us: int) -> FeedPlan:
    """Return which markets of an exchange are watched and how they are warmed; a bot's list alone where no markets are written.

    `history_us` is how far back the rules want to know trades.
    """
    is_by_bot = exchange.from_bot is not None and "markets" not in exchange.model_fields_set
    return FeedPlan(
        name=name,
        markets=() if is_by_bot else exchange.markets,
        exclude=exchange.exclude,
        quotes=exchange.quotes,
        markets_max=exchange.max_markets,
        history_us=history_us,
        history_wait_s=_HISTORY_WAIT_S,
        where=None if exchange.where is None else MarketWhere(exchange.where),
    )


def connector_factory(
    name: str,
    exchange: ExchangeSettings,
    *,
    state: StateFolder,
    clock: Clock,
    random: Random,
    report: Callable[[str], None],
) -> Callable[[], Connector]:
    """Return what makes connectors of an exchange. Raises ConfigurationError where the connector is not installed."""
    points = {point.name: point for point in entry_points(group="guard.connectors") if point.name != "tape"}
    if exchange.connector not in points:
        known = ", ".join(sorted(points))
        raise ConfigurationError(
            Problem(
                "guard.yaml",
                1,
                1,
                "E401",
                "unknown-connector",
                "error",
                f"{name}: no connector {exchange.connector!r}",
                f"there are {known}; recordings go to guard replay",
            )
        )
    options: dict[str, Any] = dict(exchange.options)
    if exchange.connector == "sim":
        # The embedded exchange is read by the connector of ccxt.
        options["ccxt"] = {**exchange.limits, **options.get("ccxt", {})} if exchange.limits else options.get("ccxt", {})
    else:
        options = {**exchange.limits, **options}
    if exchange.id is not None:
        options["id"] = exchange.id
    if exchange.urls:
        options["urls"] = _nested(name, {key: url.get_secret_value() for key, url in exchange.urls.items()})
    if exchange.connector == "sim":
        options.setdefault("snapshot", str(state.snapshot))
    context = ConnectorContext(name, options, frozenset(exchange.streams), clock, random, str(state.caches), report)

    def connect() -> Connector:
        connector: Connector = points[exchange.connector].load()(context)
        return connector

    return connect


def _nested(exchange: str, flat: Mapping[str, str]) -> dict[str, Any]:
    """Return ``{"api.ws.spot": url}`` as nested mappings. Raises ConfigurationError where one name is a part of another.

    Examples
    --------
    >>> _nested("x", {"api.ws.spot": "ws://a", "api.public": "http://b"})
    {'api': {'ws': {'spot': 'ws://a'}, 'public': 'http://b'}}
    """
    tree: dict[str, Any] = {}
    for path, url in flat.items():
        below = next((other for other in flat if other.startswith(f"{path}.")), None)
        if below is not None:
            message = f"exchanges.{exchange}.urls: {path} is one address and cannot hold {below} too"
            raise ConfigurationError(Problem("guard.yaml", 1, 1, "E402", "url-in-url", "error", message, f"remove {path}"))
        *parents, last = path.split(".")
        at = tree
        for parent in parents:
            at = at.setdefault(parent, {})
        at[last] = url
    return tree
