"""`where` of an exchange in guard.yaml: checked with its place, and asked of markets that nobody watches yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from guard.dsl import load_guard
from guard.dsl.market_where import MarketWhere
from guard.errors import ConfigurationError
from guard.model import Market, MarketClass, MarketFacts

if TYPE_CHECKING:
    from pathlib import Path

DAY_US = 86_400_000_000


def facts(**more: object) -> MarketFacts:
    return MarketFacts(Market("kucoin", "PEPE/USDT"))._replace(**more)  # type: ignore[arg-type] - its own fields


@pytest.mark.parametrize(
    ("text", "about", "holds"),
    [
        ("volume_24h_usd() > 1M", {"volume_24h_usd": 2e6}, True),
        ("volume_24h_usd() > 1M", {}, None),
        ("default(volume_24h_usd(), 0) > 1M", {}, False),
        ("market_age() > 3d", {"listed_us": 0}, True),
        ("market_age() > 3d", {"listed_us": 8 * DAY_US}, False),
        ("market.class == spot", {"market_class": MarketClass.PERP}, False),
        ("market.class in [spot, major]", {}, True),
        ("not ('delisting' in market.tags)", {"tags": frozenset({"delisting"})}, False),
        ("market.listing_risk < 0.5", {}, None),
        ("market.listing_risk < 0.5", {"listing_risk": 0.0}, True),
        ("usd_rate() > 0.9 and usd_rate() < 1.1", {"usd_rate": 1.0}, True),
    ],
)
def test_it_is_asked_of_what_is_known_before(text: str, about: dict[str, object], holds: bool | None) -> None:  # noqa: FBT001 - a value
    assert MarketWhere(text).holds(facts(**about), now_us=10 * DAY_US) is holds


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("volume_24h_usd() > 1M and ret(60s) > 1%", 39, "unknown name 'ret'"),
        ("market.clas == spot", 13, "unknown name 'market.clas'"),
        ("volume_24h_usd()", 13, "expected a condition here"),
        ("volume_24h_usd( > 1M", 29, ""),
        ("volume_24h_usd() > 5s", 32, ""),
    ],
)
def test_mistakes_have_file_line_and_column(tmp_path: Path, text: str, column: int, message: str) -> None:
    path = tmp_path / "guard.yaml"
    path.write_text(f'exchanges:\n  kucoin:\n    where: "{text}"\n')
    with pytest.raises(ConfigurationError) as raised:
        load_guard(path, {})
    problem = raised.value.problems[0]
    assert problem.line == 3
    assert problem.column == column
    assert message in problem.message


def test_a_where_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "guard.yaml"
    path.write_text("exchanges:\n  kucoin:\n    where: [1]\n")
    with pytest.raises(ConfigurationError):
        load_guard(path, {})


def test_the_password_of_a_bot_is_hidden_and_a_plain_one_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "guard.yaml"
    path.write_text(
        "exchanges:\n  kucoin:\n    from_bot:\n      freqtrade:\n"
        "        url: http://127.0.0.1:8080\n        user: me\n        password: hunter22\n"
    )
    config = load_guard(path, {})
    assert [(problem.id, problem.line) for problem in config.warnings] == [("W016", 7)]
    assert "hunter22" not in repr(config)
    assert "hunter22" not in str(config.warnings)
