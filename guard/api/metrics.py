"""The page for Prometheus, made from the status document and a few counters. No label takes a value that the network chooses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client.core import Metric

    _Read = tuple[str, str, Callable[[Mapping[str, Any]], object]]

__all__ = ["page"]

_LABELS_MAX: Final = 200
_MARKET_STATES: Final = ("normal", "quarantined", "probation")
_DATA_STATES: Final = ("ok", "new", "warming", "degraded", "stale", "maintenance")
_LEVELS: Final = ("normal", "warning", "danger", "critical")


class _Page:
    def __init__(self, document: Mapping[str, Any], counters: Mapping[str, Mapping[tuple[str, ...], float]]) -> None:
        self._document = document
        self._counters = counters

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        document = self._document
        yield from _whole(document)
        yield from _markets(document)
        yield from _feeds(document.get("feeds", ()))
        yield from _alerts(document)
        yield from _bots(document.get("bots") or {})
        yield from _proof(document.get("heartbeat") or {})
        yield from _ledger(document.get("ledger") or {})
        yield from _lists(document.get("lists") or ())
        for name, (text, labels) in _COUNTED.items():
            metric = CounterMetricFamily(name, text, labels=labels)
            for values, number in list(self._counters.get(name, {}).items())[:_LABELS_MAX]:
                metric.add_metric(values, number)
            yield metric


_COUNTED: Final = {
    "guard_http_requests": ("Requests by route and status.", ("route", "status")),
    "guard_http_checks": ("Checks answered over HTTP, by bot and status.", ("bot", "status")),
    "guard_http_refused": ("Requests and connections refused: auth, rate, origin, connections, cut.", ("why",)),
}


def page(document: Mapping[str, Any], counters: Mapping[str, Mapping[tuple[str, ...], float]]) -> bytes:
    """Return the metrics of one moment as text.

    Parameters
    ----------
    document
        The status document.
    counters
        By name (``guard_http_requests``, ``guard_http_checks``, ``guard_http_refused``) and the values of its labels.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Page(document, counters))
    found: bytes = generate_latest(registry)
    return found


def _gauge(name: str, text: str, value: object) -> Metric:
    return GaugeMetricFamily(name, text, value=_number(value))


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _family(kind: Any, name: str, text: str, label: str, rows: Iterable[tuple[str, object]]) -> Metric:  # noqa: ANN401 - theirs is untyped
    metric: Any = kind(name, text, labels=(label,))
    for value, number in list(rows)[:_LABELS_MAX]:
        metric.add_metric((value,), _number(number))
    found: Metric = metric
    return found


def _whole(document: Mapping[str, Any]) -> Iterator[Metric]:
    info = GaugeMetricFamily("guard_info", "Version and mode of guard; always 1.", labels=("version", "mode"))
    info.add_metric((str(document["version"]), str(document["mode"])), 1.0)
    yield info
    yield _gauge(
        "guard_ready",
        "1 while guard protects bots: heartbeat, proof of work, ledger, feeds and rules.",
        not document["http"]["unready"],
    )
    yield _gauge("guard_heartbeat_age_seconds", "How long ago guard last proved to live.", document["http"]["heartbeat_age_s"])
    yield _gauge("guard_uptime_seconds", "How long guard runs.", document["uptime_s"])
    yield _gauge("guard_ledger_durable", "1 while the ledger is written; 0: new blocks hold in memory only.", document["durable"])
    yield CounterMetricFamily("guard_ledger_seq", "Entries of the ledger.", value=_number(document["seq"]))
    yield CounterMetricFamily("guard_events", "Events taken from all exchanges.", value=_number(document["events"]))
    yield _gauge("guard_events_per_second", "Events a second, over 20 s.", document["events_per_second"])
    yield _gauge("guard_event_loop_lag_max_seconds", "The latest the loop ever was.", document["lag_max_ms"] / 1000)
    yield _gauge(
        "guard_clock_jump_seconds", "How far the machine's clock was set since guard started.", document["clock_jump_ms"] / 1000
    )
    yield _gauge("guard_bypass_active", "1 while everything is permitted by a bypass.", document["bypass"] is not None)
    rules = document["rules"]
    yield _gauge("guard_rules_active", "Rules that run.", rules["active"])
    yield _gauge(
        "guard_rules_broken", "1 while the rules on the disk cannot be used and the last good ones run.", bool(rules["problem"])
    )
    yield _gauge("guard_http_streams", "Readers of the stream.", document["http"]["streams"])
    yield _gauge("guard_http_connections", "Open connections.", document["http"]["connections"])


def _count(rows: Iterable[Mapping[str, Any]], key: str, known: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    found = [str(row[key]) for row in rows]
    yield from ((name, found.count(name)) for name in known)


def _markets(document: Mapping[str, Any]) -> Iterator[Metric]:
    rows = document["markets"]
    yield _family(GaugeMetricFamily, "guard_markets", "Watched markets by data state.", "data", _count(rows, "data", _DATA_STATES))
    yield _family(GaugeMetricFamily, "guard_markets_level", "Watched markets by level.", "level", _count(rows, "level", _LEVELS))
    yield _family(
        GaugeMetricFamily, "guard_markets_state", "Watched markets by state.", "state", _count(rows, "state", _MARKET_STATES)
    )
    held: dict[str, int] = {"entries": 0, "shrink": 0}
    for each in document["quarantines"]:
        held[str(each["block"])] = held.get(str(each["block"]), 0) + 1
    yield _family(GaugeMetricFamily, "guard_quarantines", "What is held now, by what is refused.", "block", held.items())


def _rest_used(feed: Mapping[str, Any]) -> float:
    rest = feed["rest"] or {}
    return float(rest["used"]) / rest["share"] if rest.get("share") else 0.0


def _feeds(feeds: Iterable[Mapping[str, Any]]) -> Iterator[Metric]:
    rows = [(str(feed["exchange"]), feed) for feed in feeds]
    gauges: tuple[_Read, ...] = (
        ("guard_feed_streaming", "1 while an exchange streams.", lambda feed: feed["streaming"]),
        ("guard_feed_markets", "Watched markets of an exchange.", lambda feed: feed["markets"]["watched"]),
        ("guard_feed_rest_share_used", "The part used of guard's share of an exchange's REST budget.", _rest_used),
    )
    for name, text, read in gauges:
        yield _family(GaugeMetricFamily, name, text, "exchange", ((each, read(feed)) for each, feed in rows))
    ages = [(each, feed["age_ms"] / 1000) for each, feed in rows if feed["age_ms"] is not None]
    yield _family(GaugeMetricFamily, "guard_feed_age_seconds", "How long ago an exchange's last event came.", "exchange", ages)
    counters: tuple[_Read, ...] = (
        ("guard_feed_events", "Events of an exchange.", lambda feed: feed["received"]),
        ("guard_feed_rejected", "Values that the gate refused.", lambda feed: sum(feed["rejected"].values())),
        ("guard_feed_reconnects", "Reconnects to an exchange.", lambda feed: feed["reconnects"]),
        ("guard_feed_gaps", "Holes in the data of an exchange.", lambda feed: feed["gaps"]),
        ("guard_feed_gap_seconds", "How long those holes were, in all.", lambda feed: feed["gap_seconds"]),
        ("guard_feed_bad_frames", "Frames that nobody could read.", lambda feed: feed["bad_frames"]),
        ("guard_feed_frames", "Frames of an exchange.", lambda feed: feed.get("frames") or 0),
        ("guard_feed_fallbacks", "Frames that a fast decoder left to ccxt.", lambda feed: feed.get("fallbacks") or 0),
        ("guard_feed_stalls", "Streams taken for dead on a connection that lives.", lambda feed: feed["alive"].get("stalls") or 0),
        ("guard_feed_failures", "Failed attempts to reach an exchange.", lambda feed: feed["failures"]),
    )
    for name, text, read in counters:
        yield _family(CounterMetricFamily, name, text, "exchange", ((each, read(feed)) for each, feed in rows))


def _alerts(document: Mapping[str, Any]) -> Iterator[Metric]:
    # Without the channels' names: a bot's token reads this page.
    channels = list(document["channels"].values())
    yield _gauge("guard_alert_channels_failing", "Alert channels that fail now.", sum(bool(each["failing"]) for each in channels))
    states: dict[str, int] = {"pending": 0, "delivered": 0, "dead": 0}
    for counts in document["outbox"].values():
        for state, number in counts.items():
            states[str(state)] = states.get(str(state), 0) + int(number)
    yield _family(GaugeMetricFamily, "guard_alerts", "Messages in the ledger, by state.", "state", states.items())


def _proof(section: Mapping[str, Any]) -> Iterator[Metric]:
    if not section:
        return
    yield _gauge("guard_heartbeat_whole", "1 while each stage was seen to work within 30 s.", section["whole"])
    stages: Mapping[str, Mapping[str, Any]] = section["stages"]
    ages = [(name, each["age_s"]) for name, each in stages.items() if each["age_s"] is not None]
    name, text = "guard_heartbeat_stage_age_seconds", "How long ago a stage was last seen to work."
    yield _family(GaugeMetricFamily, name, text, "stage", ages)
    failures = [(name, each["failures"]) for name, each in stages.items()]
    name, text = "guard_heartbeat_stage_failures", "How often a stage was seen not to work."
    yield _family(CounterMetricFamily, name, text, "stage", failures)


def _ledger(section: Mapping[str, Any]) -> Iterator[Metric]:
    if not section:
        return
    yield _gauge("guard_ledger_bytes", "Size of the ledger's file.", section["bytes"])
    yield _gauge("guard_ledger_waiting", "Decisions that wait for a COMMIT.", section["waiting"])
    yield _gauge("guard_ledger_backups", "Backups that are kept.", section["backups"])
    yield _gauge("guard_ledger_problem", "1 where backups, the journal or the chain are not well.", bool(section["problem"]))
    yield CounterMetricFamily("guard_ledger_failures", "Failed attempts to write the ledger.", value=_number(section["failures"]))


def _lists(rows: Iterable[Mapping[str, Any]]) -> Iterator[Metric]:
    gauges: tuple[_Read, ...] = (
        ("guard_list_entries", "Entries of an imported list, as last read.", lambda row: row["entries"]),
        ("guard_list_held", "Targets that an imported list holds now.", lambda row: row["held"]),
        (
            "guard_list_failing",
            "1 where a list cannot be read, or is not believed.",
            lambda row: bool(row["problem"] or row["doubt"]),
        ),
    )
    found = [(str(row["name"]), row) for row in rows]
    for name, text, read in gauges:
        yield _family(GaugeMetricFamily, name, text, "list", ((each, read(row)) for each, row in found))


def _bots(section: Mapping[str, Any]) -> Iterator[Metric]:
    totals: dict[str, dict[str, float]] = {}
    for each in section.get("bots", ()):
        known = totals.setdefault(str(each["name"]), {})
        for name, number in each["totals"].items():
            known[name] = known.get(name, 0.0) + _number(number)
    silent = {str(name) for name in section.get("silent", ())}
    for key, text in (
        ("seen", "Markets and orders that a bot asked about, as it reports."),
        ("blocked", "Entries that a bot was refused, as it reports."),
        ("bypassed", "Entries that passed by a bypass, as a bot reports."),
        ("would_block", "Entries that passed only because nothing is refused, as a bot reports."),
        ("exits", "Exits, which pass always, as a bot reports."),
    ):
        found = [(name, counts.get(key, 0.0)) for name, counts in totals.items()]
        yield _family(CounterMetricFamily, f"guard_bot_{key}", text, "bot", found)
    told = [(name, name in silent) for name in sorted({*totals, *silent})]
    yield _family(
        GaugeMetricFamily, "guard_bot_silent", "1 where a bot that reported, or is expected to, does no more.", "bot", told
    )
