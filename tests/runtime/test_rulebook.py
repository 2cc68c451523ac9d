"""Rules that are loaded, watched, and replaced only by ones without a mistake."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from guard.errors import ConfigurationError
from guard.model import Market, MarketFacts
from guard.runtime.reloading import ReloadState
from guard.runtime.rulebook import Rulebook

if TYPE_CHECKING:
    from pathlib import Path

    from guard.dsl import Program

GOOD = "rules:\n  busy: {mode: enforce, when: trades(10s) > 3, level: danger}\n"
OTHER = GOOD + "  calm: {mode: shadow, when: trades(10s) < 1, level: warning}\n"
BROKEN = "rules:\n  busy: {mode: enforce, when: tradez(10s) > 3, level: danger}\n"
CONFIG = "version: 1\nmode: enforce\nrules: [rules/*.yaml]\nexchanges: {sim: {connector: sim}}\n"
FACTS = [MarketFacts(Market("x", "A/USDT")), MarketFacts(Market("x", "B/USDT"))]


class Bench:
    """A folder with guard.yaml, one rule file and the copy of the last good ones."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "guard.yaml"
        self.rules = folder / "rules" / "own.yaml"
        self.last_good = folder / ".guard" / "last-good-rules"
        self.rules.parent.mkdir()
        self.config.write_text(CONFIG)
        self.rules.write_text(GOOD)
        self.changes: list[tuple[Program | None, str | None]] = []

    def start(self) -> Rulebook:
        book = Rulebook(self.config, {}, last_good=self.last_good)
        book.connect(facts=lambda: FACTS, changed=lambda program, problem: self.changes.append((program, problem)))
        return book


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_first_start_with_broken_rules_raises(bench: Bench) -> None:
    bench.rules.write_text(BROKEN)
    with pytest.raises(ConfigurationError, match="tradez"):
        bench.start()


async def test_names_that_stand_for_nothing_are_logged_with_their_place_at_the_start_and_each_once(bench: Bench) -> None:
    def allowing(entry: str) -> str:
        return f"{CONFIG}allow:\n  - {{{entry}, why: ours}}\n"

    bench.config.write_text(allowing('market: "sin:A/USDT", rules: [bussy], until: 2024-01-01'))
    with capture_logs() as logs:
        book = Rulebook(bench.config, {}, last_good=bench.last_good, now_us=lambda: 10**16)
        # Of guard.yaml itself whoever starts guard tells.
        assert {problem.id for problem in book.config.warnings} == {"W097", "W099"}
        assert [(row["line"], row["column"], row["id"], row["hint"]) for row in logs] == [(6, 36, "W100", "did you mean busy?")]
        await book.reload()
        assert len(logs) == 1
        bench.config.write_text(allowing('market: "simm:A/USDT", rules: [busy], until: 2300-01-01'))
        await book.reload()
    assert [(row["line"], row["column"], row["id"]) for row in logs[1:] if "id" in row] == [(6, 14, "W097")]


def test_a_restart_with_broken_rules_runs_the_last_good_ones_and_says_so(bench: Bench) -> None:
    before = bench.start().program.hash
    bench.rules.write_text(BROKEN)
    book = bench.start()
    assert (book.program.hash, book.active) == (before, 1)
    assert "tradez" in str(book.problem)


def test_a_copy_that_was_being_replaced_when_the_machine_stopped_is_found(bench: Bench) -> None:
    bench.start()
    bench.last_good.rename(bench.last_good.with_suffix(".old"))
    bench.rules.write_text(BROKEN)
    assert bench.start().active == 1


def test_a_copy_that_cannot_be_used_leaves_the_mistake_of_the_rules_to_be_told(bench: Bench) -> None:
    bench.start()
    for file in bench.last_good.iterdir():
        file.write_text("rules: {a: {when: nonsense(}}")
    bench.rules.write_text(BROKEN)
    with pytest.raises(ConfigurationError, match=r"own\.yaml:2:"):
        bench.start()


def test_a_start_without_room_for_the_copy_is_a_start(bench: Bench) -> None:
    bench.last_good.parent.mkdir()
    bench.last_good.with_suffix(".new").write_text("in the way")
    assert bench.start().active == 1


async def test_new_rules_are_bound_to_every_open_market_before_they_are_handed_over(bench: Bench) -> None:
    book = bench.start()
    bench.rules.write_text(OTHER)
    program = (await book.reload()).program
    assert program is not None
    assert set(program._bindings) == set(FACTS)
    assert bench.changes == [(program, None)]
    assert book.active == 2


async def test_broken_rules_change_nothing_and_are_told_once(bench: Bench) -> None:
    book = bench.start()
    bench.rules.write_text(BROKEN)
    for _ in range(2):
        assert (await book.reload()).state is ReloadState.BROKEN
    assert book.active == 1
    assert [program for program, _ in bench.changes] == [None]
    assert "tradez" in str(book.problem)
    bench.rules.write_text(GOOD)
    await book.reload()
    assert bench.changes[1:] == [(None, None)]


async def test_a_file_that_cannot_be_read_ends_nothing(bench: Bench) -> None:
    book = bench.start()
    bench.rules.unlink()
    bench.rules.symlink_to(bench.rules)
    assert (await book.reload()).state is ReloadState.BROKEN
    assert book.problem
    assert book.active == 1


async def test_a_mistake_of_the_compiler_ends_nothing(bench: Bench) -> None:
    book: Any = bench.start()
    book.connect(facts=lambda: [object()], changed=lambda program, problem: bench.changes.append((program, problem)))
    bench.rules.write_text(OTHER)
    assert (await book.reload()).state is ReloadState.BROKEN
    assert "a mistake of guard" in bench.changes[0][1]
    assert book.active == 1


async def test_a_change_beyond_the_rules_asks_for_a_restart(bench: Bench) -> None:
    book = bench.start()
    bench.config.write_text(CONFIG.replace("enforce", "observe"))
    await book.reload()
    assert "restart guard" in str(book.problem)
    assert bench.changes == [(None, book.problem)]


async def test_silent_after_is_taken_over_and_other_keys_are_named_that_need_a_restart(bench: Bench) -> None:
    bots = CONFIG + "bots: {grid: {silent_after: %s, min_level: %s}}\n"
    bench.config.write_text(bots % ("15m", "warning"))
    book, followed = bench.start(), list[object]()
    book.connect(facts=lambda: FACTS, changed=lambda *_: None, follow=followed.append)
    assert (await book.reload()).settings == ()
    bench.config.write_text(bots % ("5m", "warning"))
    outcome = await book.reload()
    assert (outcome.state, outcome.settings, outcome.problem) == (ReloadState.UNCHANGED, ("bots.grid.silent_after",), None)
    bench.config.write_text(bots % ("0s", "danger"))
    outcome = await book.reload()
    assert "(bots): restart guard" in str(outcome.problem)
    # Rules that are broken keep all as it is, until they are mended.
    bench.config.write_text(bots % ("1h", "danger"))
    bench.rules.write_text(BROKEN)
    assert (await book.reload()).settings == ()
    bench.rules.write_text(OTHER)
    assert (await book.reload()).settings == ("bots.grid.silent_after",)
    assert followed == [{"grid": 300_000_000}, {"grid": None}, {"grid": 3_600_000_000}]


async def test_reloads_at_the_same_moment_hand_over_once(bench: Bench) -> None:
    book = bench.start()
    bench.rules.write_text(OTHER)
    outcomes = await asyncio.gather(*(book.reload() for _ in range(4)))
    assert sum(outcome.program is not None for outcome in outcomes) == 1
    assert len(bench.changes) == 1


async def test_of_many_mistakes_the_first_are_shown_whole_and_the_rest_counted(bench: Bench) -> None:
    book = bench.start()
    names = [f"busy_{number}" for number in range(12)]
    bench.rules.write_text("rules:\n" + "".join(f"  {name}: {{when: tradez(10s) > 3, level: danger}}\n" for name in names))
    await book.reload()
    shown = str(book.problem)
    whole = shown.count("error[E042 unknown-name]")
    assert 1 <= whole < len(book.problems)
    assert shown.count("hint: did you mean trades?") == whole
    assert shown.endswith(f"\nand {len(book.problems) - whole} more: guard rules reload shows all")
