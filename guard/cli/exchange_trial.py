"""``guard exchanges test``."""

from __future__ import annotations

import asyncio
import os
import tempfile
from textwrap import fill
from typing import TYPE_CHECKING, Any, Final

import click

from guard.cli.durations import duration_option
from guard.cli.exchange_ids import check_known
from guard.cli.guard_file import config_option
from guard.cli.output import Exit, Output
from guard.errors import GuardError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from guard.dsl import ExchangeSettings
    from guard.runtime.exchange_trial import StreamTrial, Trial

__all__ = ["test"]

_EXAMPLES: Final = """\b
Examples:
  guard exchanges test kucoin --market PEPE/USDT --for 1m"""
_WIDTH: Final = 80
_HOUR_US: Final = 3_600_000_000
_MANY: Final = 20


@click.command(epilog=_EXAMPLES)
@click.argument("exchange_id", metavar="ID")
@click.option("--market", "symbol", help="Symbol to stream, as BTC/USDT; the default is the one with the most turnover.")
@click.option("--for", "for_us", callback=duration_option, default="20s", show_default=True, help="How long to listen.")
@config_option
@click.pass_obj
def test(output: Output, exchange_id: str, symbol: str | None, for_us: int, config_path: Path) -> int:
    """Listen to one market of an exchange and tell what came.

    ID is a name under exchanges of guard.yaml, whose options are used then, or an id of ccxt. Exit code 1 where a stream is not
    live in the end. Sends no order and needs no key.
    """
    if for_us > _HOUR_US:
        raise click.UsageError("--for is an hour at most")
    name, settings = _settings(exchange_id, config_path)
    trial = asyncio.run(_run(name, settings, symbol, for_us / 1e6))
    if output.is_json:
        streams = {stream: one._asdict() for stream, one in trial.streams.items()}
        output.document({"exchange": name, **trial._asdict(), "streams": streams})
    else:
        output.text("\n".join(_lines(name, trial)))
    return Exit.FINDINGS if trial.failures else Exit.OK


def _settings(exchange_id: str, config_path: Path) -> tuple[str, ExchangeSettings]:
    """Return the exchange of guard.yaml with that name or id, else defaults. Raises ConfigurationError."""
    from guard.dsl import ExchangeSettings, load_guard

    if config_path.exists():
        exchanges = load_guard(config_path, os.environ).exchanges
        if exchange_id in exchanges:
            return exchange_id, exchanges[exchange_id]
        same = [(name, each) for name, each in exchanges.items() if each.id == exchange_id]
        if same:
            return same[0]
    if exchange_id != "sim":
        try:
            check_known(exchange_id)
        except GuardError as error:
            raise click.BadParameter(f"{error}; guard exchanges ls lists all", param_hint="ID") from error
    return exchange_id, ExchangeSettings(connector="sim" if exchange_id == "sim" else "ccxt")


async def _run(name: str, settings: ExchangeSettings, symbol: str | None, seconds: float) -> Trial:
    from guard.runtime.clock import SystemClock, seeded_random
    from guard.runtime.exchange_trial import try_exchange
    from guard.runtime.settings import connector_factory
    from guard.runtime.state import StateFolder

    clock = SystemClock()
    # Caches of its own: a running guard's are not touched, and the answer is the exchange's of today.
    with tempfile.TemporaryDirectory(prefix="guard-exchanges-test-") as folder:
        connect = connector_factory(
            name, settings, state=StateFolder(folder), clock=clock, random=seeded_random(), report=lambda _: None
        )
        return await try_exchange(connect, symbol=symbol, seconds=seconds, clock=clock)


def _lines(name: str, trial: Trial) -> Iterator[str]:
    health = trial.health
    yield f"{name}: {trial.market or 'no market was streamed'}"
    for what, text in trial.rest.items():
        yield _row(f"rest {what}", text)
    for stream, one in trial.streams.items():
        yield _row(f"stream {stream}", _stream(one, trial.seconds))
    frames, fallbacks = health.get("frames") or 0, health.get("fallbacks") or 0
    is_fast = frames and health.get("tier") == "fast"
    share = f", {fallbacks} of {frames} frames left to ccxt ({fallbacks / frames:.1%})" if is_fast else ""
    yield _row("tier", f"{health.get('tier', 'unknown')}{share}")
    if trial.trades:
        yield _row("trades", f"{trial.trades / trial.seconds:.2f}/s; {_aggregation(trial)}; stamps in {trial.stamp}")
    if trial.latency_ms is not None:
        median, most = trial.latency_ms
        yield _row("latency", f"median {median:.0f} ms, 99 % within {most:.0f} ms of the exchange's stamp")
        yield _row("clock", _clock(health))
    counts = {name: health[name] for name in ("bad_frames", "reconnects", "gaps") if health.get(name)}
    counts |= health.get("rejected") or {}
    if counts:
        yield _row("counted", ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in counts.items()))
    for note in trial.notes:
        yield _row("note", note)
    for failure in trial.failures:
        yield _row("FAILED", failure)
    if not trial.failures:
        yield _row("well", f"{' and '.join(trial.streams) or 'nothing'} live")


def _stream(one: StreamTrial, seconds: float) -> str:
    if one.live_s is None:
        return f"not live within {seconds:g} s"
    first = "no event yet, the market is quiet" if one.first_s is None else f"first event after {one.first_s:.2f} s"
    return f"live after {one.live_s:.2f} s, {first}, {one.events} events"


def _aggregation(trial: Trial) -> str:
    if trial.same_price:
        return f"single fills: {trial.same_price} share stamp, side and price with the one before"
    if trial.same_order:
        return f"{trial.same_order} share stamp and side, none the price: fills at one price may be put together"
    return "too few to tell whether fills are put together" if trial.trades < _MANY else "no two share a stamp and side"


def _clock(health: Any) -> str:  # noqa: ANN401 - a mapping of the connector's
    ahead_ms = -(health.get("clock_offset_us") or 0) / 1000
    return f"the exchange's is at least {ahead_ms:.0f} ms ahead of ours" if ahead_ms else "the exchange's is not ahead of ours"


def _row(head: str, text: str) -> str:
    return fill(text, _WIDTH, initial_indent=f"  {head:<15}", subsequent_indent=" " * 17, break_long_words=False)
