"""One contract for every registered connector: the shape that guard calls, and options that are refused in words."""

from __future__ import annotations

import inspect
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

import pytest

from guard.errors import ConfigurationError, Unavailable
from guard.model import Market
from guard.model.ports import Connector, ConnectorContext, ConnectorHealth
from guard.runtime.clock import SystemClock, seeded_random

if TYPE_CHECKING:
    from pathlib import Path

NAMES: Final = sorted(point.name for point in entry_points(group="guard.connectors"))
# A recording is read row by row by replay and rule tests; nothing is opened, streamed or lost.
RECORDINGS: Final = ("tape",)
LIVE: Final = [name for name in NAMES if name not in RECORDINGS]
STRICT: Final = ("ccxt", "sim")
# What a connector needs beside its name, so that it can be made without a network.
OPTIONS: Final[dict[str, dict[str, Any]]] = {"ccxt": {"id": "kraken"}}
METHODS: Final = tuple(name for name, member in vars(Connector).items() if inspect.isfunction(member) and not name.startswith("_"))


class NoSink:
    """A sink that nothing may reach."""

    def append(self, kind: int, market: int, **columns: float) -> None:
        del market, columns
        raise AssertionError(f"a row of kind {kind} came from a connector that is not open")


def loaded(name: str) -> Any:  # noqa: ANN401 - a class that guard knows by its name only
    (point,) = entry_points(group="guard.connectors", name=name)
    return point.load()


def context(folder: Path, options: dict[str, Any]) -> ConnectorContext:
    streams = frozenset({"trades", "book"})
    return ConnectorContext("house", options, streams, SystemClock(), seeded_random(1), str(folder), report=lambda _text: None)


def made(name: str, folder: Path) -> Connector:
    connector: Connector = loaded(name)(context(folder, OPTIONS.get(name, {})))
    return connector


def test_guard_ships_its_connectors_under_one_group() -> None:
    assert {"ccxt", "sim", "tape"} <= set(NAMES)
    assert set(METHODS) == {"open", "markets", "history", "stream", "follow", "resync", "close", "health"}


@pytest.mark.parametrize("name", NAMES)
def test_connector_is_a_described_class_of_a_package_of_its_own(name: str) -> None:
    found = loaded(name)
    assert inspect.isclass(found)
    assert len((found.__doc__ or "").split()) > 5
    assert found.__module__.partition(".")[0] == f"guard_{name}"


@pytest.mark.parametrize("name", LIVE)
@pytest.mark.parametrize("method", METHODS)
def test_connector_has_the_methods_of_the_protocol_with_their_parameters(name: str, method: str) -> None:
    found, wanted = getattr(loaded(name), method), getattr(Connector, method)
    assert inspect.iscoroutinefunction(found) == inspect.iscoroutinefunction(wanted)
    assert (found.__doc__ or "").strip()
    own, asked = inspect.signature(found).parameters, inspect.signature(wanted).parameters
    for parameter in asked.values():
        assert own[parameter.name].kind is parameter.kind, parameter.name
    assert all(own[more].default is not inspect.Parameter.empty for more in own.keys() - asked.keys())


@pytest.mark.parametrize("name", LIVE)
async def test_connector_that_is_not_open_tells_its_health_and_closes_twice(name: str, tmp_path: Path) -> None:
    connector = made(name, tmp_path)
    health = connector.health()
    assert isinstance(health, ConnectorHealth)
    assert (health.received, health.reconnects, health.gaps, health.last_event_us) == (0, 0, 0, None)
    await connector.close()
    await connector.close()


@pytest.mark.parametrize("name", LIVE)
async def test_connector_that_is_not_open_refuses_to_stream_and_to_look_back(name: str, tmp_path: Path) -> None:
    connector, market = made(name, tmp_path), Market("house", "X/USDT")
    with pytest.raises(Unavailable):
        await connector.stream({market: 0}, NoSink())
    with pytest.raises(Unavailable):
        await connector.history(market, 0, NoSink(), since_us=0)
    connector.resync(market)
    await connector.close()
    with pytest.raises(Unavailable):
        await connector.open()


@pytest.mark.parametrize("name", STRICT)
def test_unknown_options_are_refused_all_at_once_with_what_is_allowed(name: str, tmp_path: Path) -> None:
    options = {**OPTIONS.get(name, {}), "no_such_option": 1, "nor_this": 2}
    with pytest.raises(ConfigurationError) as raised:
        loaded(name)(context(tmp_path, options))
    told = "\n".join(map(str, raised.value.problems))
    assert "no_such_option" in told
    assert "nor_this" in told
    assert "house" in told
    assert all(problem.hint for problem in raised.value.problems)


def test_exchange_through_ccxt_refuses_the_keys_of_an_account(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="needs no keys"):
        loaded("ccxt")(context(tmp_path, {"id": "kraken", "apiKey": "x", "secret": "y"}))


@pytest.mark.parametrize("name", RECORDINGS)
def test_recording_yields_trades_and_counts_what_it_refuses(name: str, tmp_path: Path) -> None:
    path = tmp_path / "nothing.csv"
    path.write_text("this,is,no,tape\n", encoding="utf-8")
    empty = loaded(name)([], exchange="house")
    assert list(empty) == []
    assert (empty.repeated, sum(empty.rejected.values()), list(empty.examples)) == (0, 0, [])
    with pytest.raises(ConfigurationError):
        list(loaded(name)([path], exchange="house"))
