"""``bots:`` of guard.yaml, as bots get it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from guard.dsl import load_guard
from guard.errors import ConfigurationError
from guard.model import NEW_US, BotPolicy, ListingAnswer, Mode, NewListings

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "mode: enforce\nexchanges:\n  kucoin: {markets: ['*/USDT']}\n"
HOUR = 3_600_000_000


def policies(folder: Path, bots: str) -> dict[str, BotPolicy]:
    path = folder / "guard.yaml"
    path.write_text(HEAD + bots, encoding="utf-8")
    return load_guard(path, {}).bot_policies()


def test_guard_without_bots_has_one_policy_that_holds_back_from_all(tmp_path: Path) -> None:
    assert policies(tmp_path, "") == {"*": BotPolicy()}


def test_entry_stands_alone_and_what_it_leaves_out_has_its_default(tmp_path: Path) -> None:
    found = policies(tmp_path, "bots:\n  '*': {min_level: critical}\n  grid: {sides: [buy]}\n")
    assert found["*"] == BotPolicy(min_level="critical")
    assert found["grid"] == BotPolicy(sides=("buy",))


def test_every_key_reaches_the_bot(tmp_path: Path) -> None:
    text = "bots:\n  a: {mode: alert, rules: 'pump_*', tags: [thin], min_level: danger, sides: [sell], exchanges: kucoin,\n"
    text += "      new_listings: {answer: shrink, for: 2d, max_fraction: 10%}}\n"
    listings = NewListings(ListingAnswer.SHRINK, 48 * HOUR, 0.1)
    assert policies(tmp_path, text)["a"] == BotPolicy(
        Mode.ALERT, ("pump_*",), ("thin",), "danger", ("sell",), ("kucoin",), listings
    )


@pytest.mark.parametrize(
    ("written", "answer", "for_us"),
    [
        ("refuse", "refuse", NEW_US),
        ("refuse 24h", "refuse", 24 * HOUR),
        ("shrink 90m", "shrink", HOUR * 3 // 2),
        ("permit", "permit", NEW_US),
    ],
)
def test_new_listings_may_be_written_in_short(tmp_path: Path, written: str, answer: str, for_us: int) -> None:
    found = policies(tmp_path, f"bots:\n  a: {{new_listings: {written}}}\n")["a"].new_listings
    assert (found.answer, found.for_us) == (answer, for_us)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("mode: strict", "mode"),
        ("min_level: normal", "min_level"),
        ("sides: []", "sides"),
        ("sides: [both]", "sides"),
        ("new_listings: refuse 24", "duration"),
        ("new_listings: refuse 31d", "new_listings: refuse 31d"),
        ("new_listings: never", "permit, refuse, shrink"),
        ("new_listings: {max_fraction: 0%}", "max_fraction"),
        ("rule: [x]", "unknown key"),
    ],
)
def test_mistake_is_told_at_its_line(tmp_path: Path, entry: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        policies(tmp_path, f"bots:\n  a: {{{entry}}}\n")
    assert {problem.line for problem in caught.value.problems} == {5}
    assert says in str(caught.value)
