"""What a restart takes over of rules that judge markets together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.streams import SECOND, START
from runtime.test_keeper import FACTS, HOUR, MINUTE, Run

from guard.model import BUY, Channel, IsolationState, Kind, Level, Market, Quarantine, Status
from guard.runtime import checkpoint
from guard.runtime.checkpoint import Entry

if TYPE_CHECKING:
    from pathlib import Path

    from guard.engine.groups import Group

RULES = """
rules:
  storm:
    mode: enforce
    per: exchange
    quorum: 2
    when: trades(10s) >= 3
    level: danger
    clear: {when: trades(10s) < 3, for: 60s}
    actions: {danger: [alert, quarantine]}
  slow: {mode: alert, when: volume(1h) > 1e9, level: warning}
"""
NAMES = "ABC"


def opened(folder: Path, now_us: int, names: str = NAMES, ledger: tuple[Quarantine, ...] = ()) -> Run:
    run = Run(folder, now_us=now_us, text=RULES, ledger=ledger)
    for name in names:
        join(run, name, now_us)
    return run


def join(run: Run, name: str, now_us: int) -> None:
    run.open(FACTS._replace(market=Market("x", f"{name}/USDT")))
    run.put(Kind.STATUS, now_us, row=len(run.pipeline.engine.watched) - 1, side=Channel.TRADES, key=Status.LIVE)


def trade(run: Run, rows: tuple[int, ...], begin_us: int, end_us: int) -> list[object]:
    moments = range(begin_us, end_us, SECOND)
    return [told for at_us in moments for row in rows for told in run.put(Kind.TRADE, at_us, row=row, price=100.0, side=BUY)]


def group(run: Run) -> Group:
    return run.pipeline.engine.groups.of(run.pipeline.engine.program.rules[0], Market("x", "A/USDT"))


async def fired(folder: Path, rows: tuple[int, ...] = (0, 1)) -> tuple[int, tuple[Quarantine, ...]]:
    run = opened(folder, START)
    trade(run, rows, START + MINUTE, START + 2 * MINUTE)
    await run.keeper.keep()
    return START + 2 * MINUTE, run.pipeline.isolation.active()


async def test_a_group_whose_quarantine_the_ledger_holds_goes_on_and_is_not_told_again(tmp_path: Path) -> None:
    end_us, held = await fired(tmp_path)
    assert [str(each.target) for each in held] == ["exchange:x"]
    after = opened(tmp_path, end_us + MINUTE, ledger=held)
    assert group(after).level is Level.DANGER
    assert group(after).started_us < end_us
    assert trade(after, (0, 1), end_us + MINUTE, end_us + 3 * MINUTE) == []


async def test_a_group_does_not_end_before_its_markets_are_open_again(tmp_path: Path) -> None:
    end_us, held = await fired(tmp_path)
    after = opened(tmp_path, end_us + MINUTE, names="A", ledger=held)
    assert trade(after, (0,), end_us + MINUTE, end_us + 2 * MINUTE) == []
    after.pipeline.advance(end_us + 4 * MINUTE)
    assert after.levels()[0] is Level.NORMAL
    assert group(after).level is Level.DANGER
    join(after, "B", end_us + 5 * MINUTE)
    assert group(after).level is Level.DANGER
    join(after, "C", end_us + 5 * MINUTE)
    # All are back, and only B holds what it held.
    assert (group(after).level, group(after).held(Level.WARNING)) == (Level.NORMAL, 1)


async def test_a_group_goes_on_when_its_markets_come_back_one_after_the_other(tmp_path: Path) -> None:
    end_us, held = await fired(tmp_path)
    after = opened(tmp_path, end_us + MINUTE, names="A", ledger=held)
    trade(after, (0,), end_us + MINUTE, end_us + 4 * MINUTE)
    join(after, "B", end_us + 4 * MINUTE)
    join(after, "C", end_us + 4 * MINUTE)
    assert trade(after, (0, 1), end_us + 4 * MINUTE, end_us + 6 * MINUTE) == []
    assert group(after).level is Level.DANGER


async def test_a_group_whose_quarantine_never_reached_the_ledger_fires_anew(tmp_path: Path) -> None:
    end_us, _ = await fired(tmp_path)
    after = opened(tmp_path, end_us + MINUTE)
    assert (group(after).level, group(after).held(Level.WARNING)) == (Level.NORMAL, 0)
    told = trade(after, (0, 1), end_us + MINUTE, end_us + 2 * MINUTE)
    assert [each.quarantine.state for each in told if hasattr(each, "quarantine")][:1] == [IsolationState.QUARANTINED]


async def test_members_that_were_not_enough_come_back_and_raise_nothing_before_they_are_known(tmp_path: Path) -> None:
    end_us, held = await fired(tmp_path, (0,))
    assert held == ()
    after = opened(tmp_path, end_us + MINUTE)
    assert (group(after).level, group(after).held(Level.WARNING), group(after).sure(Level.WARNING)) == (Level.NORMAL, 1, 0)
    # A stays silent, so what it held before counts for nothing; B alone is not enough.
    assert trade(after, (1,), end_us + MINUTE, end_us + 2 * MINUTE) == []
    told = trade(after, (0,), end_us + 2 * MINUTE, end_us + 3 * MINUTE)
    assert [each.quarantine.target.name for each in told if hasattr(each, "quarantine")][:1] == ["x"]


async def test_a_file_without_groups_restores_none(tmp_path: Path) -> None:
    end_us, held = await fired(tmp_path)
    header, entries = checkpoint.read(tmp_path / "checkpoint", layout=opened(tmp_path / "x", START, names="").kernel.layout_version)
    older = {}
    for name, entry in entries.items():
        kept = checkpoint.unpack(entry.body)
        alone = {key: state for key, state in kept.episodes.items() if not key.endswith(".group")}
        assert len(alone) < len(kept.episodes)
        older[name] = Entry(entry.copied_us, checkpoint.pack(kept._replace(episodes=alone)))
    checkpoint.write(tmp_path / "checkpoint", header, older)
    after = opened(tmp_path, end_us + MINUTE, ledger=held)
    assert (group(after).level, group(after).held(Level.WARNING)) == (Level.NORMAL, 2)


async def test_a_damaged_group_is_told_and_starts_afresh(tmp_path: Path) -> None:
    end_us, held = await fired(tmp_path)
    layout = opened(tmp_path / "x", START, names="").kernel.layout_version
    header, entries = checkpoint.read(tmp_path / "checkpoint", layout=layout)
    for name, entry in entries.items():
        kept = checkpoint.unpack(entry.body)
        broken = {key: {"level": 9} if key.endswith(".group") else state for key, state in kept.episodes.items()}
        entries[name] = Entry(entry.copied_us, checkpoint.pack(kept._replace(episodes=broken)))
    checkpoint.write(tmp_path / "checkpoint", header, entries)
    after = opened(tmp_path, end_us + HOUR // 2, ledger=held)
    assert group(after).level is Level.NORMAL
    assert "storm" in str(after.keeper.health.refused)
