"""A ledger that is damaged, gone or too old comes back from backups and journals; what cannot is said, and nothing is changed."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from store.decisions import NOW, HandClock, decision, delivered, delivery, transition

from guard.errors import StateError, Unavailable
from guard.model import Decision, DeliveryState, IsolationState
from guard.runtime.ledger_keeper import LedgerKeeper
from guard.store import LedgerStore
from guard.store.backup import BackupFolder
from guard.store.damage import Damaged
from guard.store.journal import Journal, read_journals
from guard.store.rebuild import REBUILT, rebuild
from guard.store.verify import look_at, verify_ledger

if TYPE_CHECKING:
    from collections.abc import Callable


class Kept:
    """A ledger with its keeper, driven by hand."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.sqlite"
        self.folder = BackupFolder(folder / "backups", keep=3)
        self.clock = HandClock()

    async def open(self) -> None:
        self.store = LedgerStore(self.path, self.clock)
        self.epoch = (await self.store.open()).epoch
        self.keeper = LedgerKeeper(
            self.path, self.folder, self.clock, epoch=self.epoch, every_us=3_600_000_000, announce=lambda *_: None
        )
        self.store.on_written = self.keeper.written

    async def commit(self, *numbers: int) -> None:
        await self.store.commit([decision(number) for number in numbers], epoch=self.epoch)
        self.keeper._write_journal()

    async def close(self) -> None:
        await self.keeper.finish()
        await self.store.close()

    def rebuild(self, **options: object) -> object:
        return rebuild(self.path, self.folder, why="it is broken", now_us=NOW, **options)

    async def held(self) -> set[str]:
        store = LedgerStore(self.path, self.clock)
        state = await store.open()
        await store.close()
        return {each.target.name for each in state.quarantines}


@pytest.fixture
async def kept(tmp_path: Path) -> Kept:
    """Rows 1-4 in the first backup, 5-6 in the second, 7-8 in the journal alone."""
    made = Kept(tmp_path)
    await made.open()
    await made.commit(1, 2)
    made.keeper.back_up()
    await made.commit(3)
    made.keeper.back_up()
    await made.commit(4)
    await made.store.settle(delivered(delivery("d3")))
    await made.close()
    return made


ALL = {f"sim:C{number}/USDT" for number in (1, 2, 3, 4)}


def spoil(path: Path) -> None:
    path.write_bytes(b"\xff" * path.stat().st_size)


async def test_a_damaged_ledger_comes_back_whole_and_the_old_file_is_kept(kept: Kept) -> None:
    before = look_at(kept.path)
    spoil(kept.path)
    damaged = kept.path.read_bytes()
    found = kept.rebuild()
    assert (found.base, found.base_seq, found.seq) == ("ledger-000002.sqlite", 6, 8)
    after = verify_ledger(kept.path, now_us=NOW)
    assert (after.seq, after.head, after.epoch) == (before.seq, before.head, before.epoch)
    aside = found.aside[0]
    assert kept.path.with_name(aside).read_bytes() == damaged
    assert aside == "ledger.sqlite.damaged-20231114T221320Z"
    assert await kept.held() == ALL
    store = LedgerStore(kept.path, kept.clock)
    state = await store.open()
    assert {each.id for each in state.pending} == {"d1", "d2", "d4"}
    assert {each.id for each in state.recent_deliveries if each.state is DeliveryState.DELIVERED} == {"d3"}
    assert (await store.note(REBUILT))["why"] == "it is broken"
    await store.close()


async def test_a_damaged_backup_is_passed_over(kept: Kept) -> None:
    spoil(kept.path)
    spoil(kept.folder.backups()[0].path)
    found = kept.rebuild()
    assert (found.base, found.seq) == ("ledger-000001.sqlite", 8)
    assert [each.partition(":")[0] for each in found.passed_over] == ["ledger.sqlite", "ledger-000002.sqlite"]
    assert await kept.held() == ALL


async def test_journals_alone_bring_all_back_if_they_begin_at_the_beginning(tmp_path: Path) -> None:
    made = Kept(tmp_path)
    await made.open()
    await made.commit(1, 2)
    await made.commit(3)
    await made.close()
    made.path.unlink()
    assert made.rebuild().base == ""
    assert await made.held() == {f"sim:C{number}/USDT" for number in (1, 2, 3)}


async def test_what_a_damaged_ledger_still_tells_counts_where_journals_end(kept: Kept) -> None:
    store = LedgerStore(kept.path, kept.clock)
    epoch = (await store.open()).epoch
    # Nobody wrote the journal behind this one.
    await store.commit([decision(5)], epoch=epoch)
    await store.close()
    with closing(sqlite3.connect(kept.path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM quarantines")
    with pytest.raises(Damaged):
        await LedgerStore(kept.path, kept.clock).open()
    assert kept.rebuild().seq == 10
    assert await kept.held() == ALL | {"sim:C5/USDT"}


async def test_without_sources_nothing_is_changed_and_the_commands_are_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(StateError, match=r"it is broken\. Nothing was changed.*guard ledger restore FILE.*restore --empty"):
        rebuild(path, BackupFolder(tmp_path / "backups"), why="it is broken", now_us=NOW)
    assert path.read_bytes() == b"no database at all" * 100
    assert not list(tmp_path.glob("*damaged*"))


async def test_a_hole_in_the_journals_ends_what_is_taken_over(kept: Kept) -> None:
    spoil(kept.path)
    for backup in kept.folder.backups():
        if backup.number == 2:
            backup.path.unlink()
    first = kept.folder.journals()[-2]
    lines = first.read_bytes().splitlines(keepends=True)
    first.write_bytes(b"".join(line.replace(b'"danger"', b'"normal"') if b'"seq":5,' in line else line for line in lines))
    found = kept.rebuild()
    # Row 5 cannot be proved, so neither can anything after it.
    assert (found.seq, found.base_seq) == (4, 4)
    assert await kept.held() == {"sim:C1/USDT", "sim:C2/USDT"}


async def test_an_older_ledger_in_place_is_rolled_forward(kept: Kept) -> None:
    kept.path.write_bytes(kept.folder.backups()[1].path.read_bytes())
    assert look_at(kept.path).seq == 4
    assert kept.rebuild().seq == 8
    assert await kept.held() == ALL


async def test_what_a_person_gave_up_does_not_come_back(kept: Kept) -> None:
    old = kept.folder.backups()[1].path
    found = kept.rebuild(base=old, is_only=True)
    assert (found.seq, await kept.held()) == (4, {"sim:C1/USDT", "sim:C2/USDT"})
    await kept.open()
    await kept.commit(9)
    await kept.close()
    spoil(kept.path)
    assert kept.rebuild().seq == 6
    assert await kept.held() == {"sim:C1/USDT", "sim:C2/USDT", "sim:C9/USDT"}


async def test_what_a_person_gave_up_does_not_come_back_before_anything_new_was_written(kept: Kept) -> None:
    kept.rebuild(base=kept.folder.backups()[1].path, is_only=True)
    spoil(kept.path)
    assert kept.rebuild().seq == 4


async def test_an_empty_beginning_is_asked_for_and_stays(kept: Kept) -> None:
    assert kept.rebuild(is_empty=True).seq == 0
    assert await kept.held() == set()
    spoil(kept.path)
    assert kept.rebuild().seq == 0
    assert await kept.held() == set()


async def test_ended_quarantines_stay_ended_in_a_rebuilt_ledger(kept: Kept) -> None:
    await kept.open()
    end = transition(1, state=IsolationState.NORMAL, until_us=NOW)
    await kept.store.commit([Decision(NOW, transitions=(end,))], epoch=kept.epoch)
    kept.keeper._write_journal()
    await kept.close()
    spoil(kept.path)
    kept.rebuild()
    store = LedgerStore(kept.path, kept.clock)
    state = await store.open()
    await store.close()
    assert {each.target.name for each in state.quarantines if each.state is not IsolationState.NORMAL} == ALL - {"sim:C1/USDT"}


async def test_backups_are_bounded_for_their_owner_only_and_never_displaced_by_a_damaged_ledger(kept: Kept) -> None:
    await kept.open()
    for number in range(5, 12):
        await kept.commit(number)
        kept.keeper.back_up()
    assert [each.number for each in kept.folder.backups()] == [9, 8, 7]
    assert [file.name for file in kept.folder.journals()] == [f"journal-00000{number}.jsonl" for number in (7, 8, 9)]
    assert kept.folder.path.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in kept.folder.path.iterdir()} == {0o600}
    await kept.close()
    with closing(sqlite3.connect(kept.path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM quarantines")
    with pytest.raises(Damaged):
        kept.folder.make(kept.path)
    assert [each.number for each in kept.folder.backups()] == [9, 8, 7]


async def test_a_backup_beside_a_writer_is_of_one_moment(kept: Kept) -> None:
    await kept.open()
    await kept.store._connection.execute_fetchall("BEGIN IMMEDIATE")
    await kept.store._connection.execute_fetchall("UPDATE meta SET seq = 99")
    backup = kept.folder.make(kept.path)
    await kept.store._connection.execute_fetchall("ROLLBACK")
    assert verify_ledger(backup.path, now_us=NOW).seq == 8
    await kept.close()


def test_a_journal_is_cut_at_its_last_whole_line_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "journal-000000.jsonl"
    journal = Journal(path)
    journal.append(['{"begin":{"seq":0,"head":"","epoch":3}}'])
    journal.close()
    with path.open("ab") as file:
        file.write(b'{"hash":"half')
    assert read_journals([path]).unreadable == 1
    journal = Journal(path)
    journal.append(['{"begin":{"seq":0,"head":"","epoch":4}}'])
    journal.close()
    told = read_journals([path])
    assert (told.epoch, told.unreadable) == (4, 0)


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("UPDATE audit SET document = replace(document, 'danger', 'normal') WHERE seq = 3", "row 3 does not match its hash"),
        ("DELETE FROM audit WHERE seq = 3", "row 3 is missing"),
        ("DELETE FROM quarantines WHERE rowid = 1", "lacks [0-9a-f]{12}, which the audit trail left quarantined"),
        ("UPDATE quarantines SET state = 'normal' WHERE rowid = 1", "is not what the audit trail tells"),
        ("INSERT INTO quarantines VALUES ('x', 'normal', 1, '{}')", "has x, of which the audit trail knows nothing"),
        ("UPDATE meta SET seq = 7", "ends at row 8, 7 were written"),
    ],
)
async def test_verify_names_the_first_bad_row(kept: Kept, statement: str, text: str) -> None:
    with closing(sqlite3.connect(kept.path, isolation_level=None)) as connection:
        for trigger in ("audit_is_never_changed", "audit_is_never_deleted"):
            connection.execute(f"DROP TRIGGER {trigger}")
        connection.execute(statement)
    with pytest.raises(Damaged, match=text):
        verify_ledger(kept.path, now_us=NOW)


async def test_verify_knows_an_anchor_and_finds_a_trail_that_was_written_anew(kept: Kept) -> None:
    standing = verify_ledger(kept.path, now_us=NOW)
    assert verify_ledger(kept.path, now_us=NOW, anchor=(standing.seq, standing.head)) == standing
    with pytest.raises(Damaged, match="the trail has no row 8 with hash 00"):
        verify_ledger(kept.path, now_us=NOW, anchor=(8, "00"))


async def test_a_release_that_nobody_committed_is_found(tmp_path: Path) -> None:
    store = LedgerStore(tmp_path / "ledger.sqlite", HandClock())
    epoch = (await store.open()).epoch
    await store.commit([decision(1)], epoch=epoch)
    # It says it goes from normal, but the trail left it held.
    await store.commit([Decision(NOW, transitions=(transition(1)._replace(previous=IsolationState.NORMAL),))], epoch=epoch)
    await store.close()
    with pytest.raises(Damaged, match=r"audit row 3: quarantine [0-9a-f]{12} goes from normal, but the trail left it quarantined"):
        verify_ledger(store.path, now_us=NOW)


def test_no_ledger_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="there is no ledger"):
        verify_ledger(tmp_path / "none", now_us=NOW)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Write down what reaches the disk, in order; it still does."""
    made: list[str] = []
    for name in ("fsync", "fdatasync", "rename", "replace"):
        real = getattr(os, name)

        def told(first: object, *more: object, name: str = name, real: Callable[..., object] = real) -> object:
            what = str(Path(f"/proc/self/fd/{first}").readlink()) if isinstance(first, int) else os.fspath(first)
            made.append(f"{name} {what.rpartition('/')[2]}")
            return real(first, *more)

        monkeypatch.setattr(os, name, told)
    return made


async def test_a_backup_and_a_rebuilt_ledger_are_on_the_disk_before_and_after_they_get_their_names(
    kept: Kept, calls: list[str]
) -> None:
    kept.folder.make(kept.path)
    synced, named, folder = calls
    assert (synced, folder) == ("fsync .ledger-000003.sqlite.new", "fsync backups")
    assert named.endswith(" .ledger-000003.sqlite.new")
    calls.clear()
    kept.path.unlink()
    kept.rebuild()
    at = next(number for number, each in enumerate(calls) if each.endswith(" ledger.sqlite.rebuilt") and "fsync" not in each)
    assert "fsync ledger.sqlite.rebuilt" in calls[:at]
    assert calls[at + 1].startswith("fsync test_")
    # What was given up is on the disk too, before anybody writes on.
    assert calls[-1] == "fdatasync journal-000002.jsonl"
