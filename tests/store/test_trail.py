"""The audit trail read beside the guard that writes it, and what a rule would have made of it."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from store.decisions import NOW, HandClock

from guard.dsl import Program, compile_rules, load_rules
from guard.errors import Unavailable
from guard.model import Decision, Level, Market, RiskScore, RuleMode, Verdict
from guard.runtime.hindsight import hindsight
from guard.store import LedgerStore
from guard.store.trail import read_trail

if TYPE_CHECKING:
    from pathlib import Path

SECOND, MINUTE = 1_000_000, 60_000_000
NORMAL, WARNING, DANGER = Level.NORMAL, Level.WARNING, Level.DANGER
ACTIONS = "{warning: [alert], danger: [{quarantine: {for: 5m, target: TARGET}}]}"
RULE = "rules:\n  busy: {when: trades(10s) > 3, risk: {a: {weight: 1, value: 1}}, actions: ACTIONS}\n"


def verdict(at_us: int, level: Level, previous: Level, *, episode_us: int, rule: str = "busy", market: str = "A/USDT") -> Decision:
    told = Verdict(
        NOW + at_us, Market("x", market), rule, level, previous, RuleMode.SHADOW, RiskScore(0.9, ()), (), NOW + episode_us
    )
    return Decision(at_us=NOW + at_us, verdicts=(told,), log=(told,))


async def ledger(folder: Path, *decisions: Decision) -> Path:
    path = folder / "ledger.sqlite"
    store = LedgerStore(path, HandClock())
    state = await store.open()
    await store.commit(decisions, epoch=state.epoch)
    await store.close()
    return path


def compiled(folder: Path, target: str = "market") -> Program:
    (folder / "own.yaml").write_text(RULE.replace("ACTIONS", ACTIONS.replace("TARGET", target)))
    return compile_rules(load_rules([folder / "own.yaml"]))


EPISODES = (
    verdict(0, DANGER, NORMAL, episode_us=0, rule="busy_too"),
    verdict(0, WARNING, NORMAL, episode_us=0),
    verdict(9 * SECOND, DANGER, WARNING, episode_us=0),
    verdict(20 * SECOND, NORMAL, DANGER, episode_us=0),
    # Within the five minutes of the first: one and the same quarantine.
    verdict(2 * MINUTE, DANGER, NORMAL, episode_us=2 * MINUTE),
    verdict(3 * MINUTE, WARNING, NORMAL, episode_us=3 * MINUTE, market="B/USDT"),
    verdict(9 * MINUTE, DANGER, NORMAL, episode_us=9 * MINUTE),
    verdict(10 * MINUTE, DANGER, NORMAL, episode_us=10 * MINUTE, market="B/USDT"),
)


async def test_only_the_rule_asked_for_is_told_oldest_first(tmp_path: Path) -> None:
    trail = read_trail(await ledger(tmp_path, *EPISODES), "busy", since_us=NOW)
    assert [row["at_us"] - NOW for row in trail.verdicts] == [0, 9e6, 20e6, 120e6, 180e6, 540e6, 600e6]
    assert (trail.begins_us, trail.is_whole) == (NOW, True)


async def test_what_is_older_or_beyond_the_rows_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = await ledger(tmp_path, *EPISODES)
    assert len(read_trail(path, "busy", since_us=NOW + 3 * MINUTE).verdicts) == 3
    monkeypatch.setattr("guard.store.trail._PAGE", 2)
    assert len(read_trail(path, "busy", since_us=NOW).verdicts) == 7
    cut = read_trail(path, "busy", since_us=NOW, rows_max=4)
    assert (len(cut.verdicts), cut.is_whole) == (4, False)


async def test_it_is_read_while_another_writes_and_changes_nothing(tmp_path: Path) -> None:
    path = await ledger(tmp_path, *EPISODES[:1])
    store = LedgerStore(path, HandClock())
    state = await store.open()
    await store.commit(EPISODES[1:], epoch=state.epoch)
    assert len(read_trail(path, "busy", since_us=NOW).verdicts) == 7
    await store.commit([verdict(11 * MINUTE, DANGER, NORMAL, episode_us=11 * MINUTE)], epoch=state.epoch)
    assert len(read_trail(path, "busy", since_us=NOW).verdicts) == 8
    await store.verify()
    await store.close()


async def test_an_empty_ledger_tells_nothing(tmp_path: Path) -> None:
    trail = read_trail(await ledger(tmp_path), "busy", since_us=NOW)
    assert (trail.verdicts, trail.begins_us) == ((), None)


@pytest.mark.parametrize("content", [None, b"", b"no database at all", b"SQLite format 3\x00" + b"\x00" * 4096])
def test_what_is_no_ledger_is_unavailable(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Unavailable, match="ledger"):
        read_trail(path, "busy", since_us=NOW)
    assert path.exists() is (content is not None)


def test_a_damaged_row_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE audit (seq INTEGER PRIMARY KEY, document TEXT)")
        connection.execute("INSERT INTO audit VALUES (1, '[]')")
    connection.close()
    with pytest.raises(Unavailable, match="cannot be read"):
        read_trail(path, "busy", since_us=NOW)


async def verdicts(folder: Path, *decisions: Decision) -> tuple[Any, ...]:
    return read_trail(await ledger(folder, *decisions), "busy", since_us=NOW).verdicts


async def test_hindsight_counts_what_enforcing_would_have_opened(tmp_path: Path) -> None:
    found = hindsight(await verdicts(tmp_path, *EPISODES), compiled(tmp_path).rules[0])
    assert (found.episodes, found.told, found.quarantines) == (5, 2, 3)
    assert (found.targets, found.minutes) == (("x:A/USDT", "x:B/USDT"), 15.0)
    assert [(at_us - NOW) // SECOND for at_us, *_ in found.latest] == [9, 540, 600]


async def test_hindsight_holds_what_the_rule_would_hold(tmp_path: Path) -> None:
    found = hindsight(await verdicts(tmp_path, *EPISODES), compiled(tmp_path, "exchange").rules[0])
    assert (found.quarantines, found.targets, found.minutes) == (2, ("exchange:x",), 10.0)


async def test_hindsight_of_a_rule_that_only_tells_shows_its_episodes(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(RULE.replace("ACTIONS", "{warning: [alert]}"))
    rule = compile_rules(load_rules([tmp_path / "own.yaml"])).rules[0]
    found = hindsight(await verdicts(tmp_path, *EPISODES), rule)
    assert (found.episodes, found.told, found.quarantines, len(found.latest)) == (5, 5, 0, 5)
