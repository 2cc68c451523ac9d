"""What the SQLite ledger promises beyond the contract: its file."""

import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from quarantine.holds import DAY, HOUR
from store.decisions import NOW, HandClock, decision, delivered, delivery, transition

from guard.errors import StateError
from guard.model import Decision, IsolationState
from guard.store import LedgerStore
from guard.store.damage import Damaged


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.sqlite"


def ledger(path: Path, clock: HandClock | None = None) -> LedgerStore:
    return LedgerStore(path, clock or HandClock(), busy_timeout_s=0.05)


async def filled(path: Path, count: int = 3) -> None:
    store = ledger(path)
    epoch = (await store.open()).epoch
    await store.commit([decision(number) for number in range(count)], epoch=epoch)
    await store.close()


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


async def test_files_are_for_their_owner_only(path: Path) -> None:
    store = ledger(path)
    epoch = (await store.open()).epoch
    await store.commit([decision()], epoch=epoch)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"ledger.sqlite": 0o600, "ledger.sqlite-wal": 0o600, "ledger.sqlite-shm": 0o600}
    await store.close()
    path.chmod(0o644)
    store = ledger(path)
    await store.open()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    await store.close()


async def test_the_connection_is_durable_and_careful(path: Path) -> None:
    store = ledger(path)
    await store.open()
    found = {}
    for name in ("journal_mode", "synchronous", "trusted_schema", "cell_size_check"):
        ((found[name],),) = await store._connection.execute_fetchall(f"PRAGMA {name}")
    await store.close()
    assert found == {"journal_mode": "wal", "synchronous": 2, "trusted_schema": 0, "cell_size_check": 1}


async def test_a_newer_layout_is_refused_with_the_way_out(path: Path) -> None:
    await filled(path)
    change(path, "PRAGMA user_version = 7")
    with pytest.raises(StateError, match=r"newer guard \(layout 7\); this one reads up to 2: upgrade"):
        await ledger(path).open()


async def test_another_programs_database_is_refused(path: Path) -> None:
    path.parent.mkdir()
    change(path, "CREATE TABLE bans (ip TEXT)")
    with pytest.raises(StateError, match="not a ledger of guard"):
        await ledger(path).open()


@pytest.mark.parametrize("damage", ["header", "page", "empty", "cut", "text"])
async def test_a_damaged_file_is_refused_again_and_again_and_left_as_it_is(path: Path, damage: str) -> None:
    await filled(path, 200)
    content = bytearray(path.read_bytes())
    page = int.from_bytes(content[16:18], "big")
    match damage:
        case "header":
            content[0:16] = b"\0" * 16
        case "page":
            for at in range(2 * page, len(content), page):
                content[at : at + 200] = b"\xff" * 200
        case "empty":
            content.clear()
        case "cut":
            del content[len(content) // 2 :]
        case _:
            content[:] = b"this is no database" * 1000
    path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(Damaged, match=r"ledger\.sqlite is damaged: "):
            await ledger(path).open()
    assert path.read_bytes() == content


async def test_a_log_without_its_ledger_is_not_taken_for_a_first_start(path: Path) -> None:
    store = ledger(path)
    epoch = (await store.open()).epoch
    await store.commit([decision()], epoch=epoch)
    copy = path.with_name("copy.sqlite")
    shutil.copy(f"{path}-wal", f"{copy}-wal")
    await store.close()
    with pytest.raises(StateError, match=r"is gone but copy\.sqlite-wal is there"):
        await ledger(copy).open()


async def test_a_half_made_ledger_is_made_anew(path: Path) -> None:
    path.parent.mkdir()
    path.with_name("ledger.sqlite.new").write_bytes(b"half")
    store = ledger(path)
    assert (await store.open()).epoch == 1
    await store.close()
    assert [file.name for file in path.parent.iterdir()] == ["ledger.sqlite"]


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("UPDATE audit SET document = replace(document, 'danger', 'normal') WHERE seq = 3", "row 3 does not match"),
        ("UPDATE audit SET target = 'sim:Z/USDT' WHERE seq = 3", "row 3 does not match"),
        ("DELETE FROM audit WHERE seq = 3", "row 3 is missing"),
    ],
)
async def test_a_changed_trail_is_found(path: Path, statement: str, text: str) -> None:
    await filled(path)
    change(path, "DROP TRIGGER audit_is_never_changed", "DROP TRIGGER audit_is_never_deleted", statement)
    store = ledger(path)
    await store.open()
    with pytest.raises(StateError, match=text):
        await store.verify()
    await store.close()


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("DELETE FROM audit WHERE seq = 6", "ends at row 5, 6 were written"),
        ("UPDATE meta SET seq = 5", "ends at row 6, 5 were written"),
        ("DELETE FROM meta", "meta is empty"),
        ("DELETE FROM quarantines WHERE rowid = 2", "not the one that was written"),
        ("UPDATE quarantines SET forgotten_us = 5 WHERE rowid = 2", "not the one that was written"),
        ("UPDATE quarantines SET state = 'normal' WHERE rowid = 2", "not the one that was written"),
        ("UPDATE quarantines SET document = replace(document, 'C1/USDT', 'C9/USDT')", "not the one that was written"),
        ("DROP TABLE outbox", "no such table"),
        ("DROP TABLE notes", "no such table"),
    ],
)
async def test_a_table_that_is_not_what_was_written_is_found_at_the_start(path: Path, statement: str, text: str) -> None:
    await filled(path)
    change(path, "DROP TRIGGER audit_is_never_deleted", statement)
    with pytest.raises(Damaged, match=text):
        await ledger(path).open()


async def test_the_trail_cannot_be_changed_in_passing(path: Path) -> None:
    await filled(path)
    with pytest.raises(sqlite3.IntegrityError, match="never changed"):
        change(path, "UPDATE audit SET target = ''")
    with pytest.raises(sqlite3.IntegrityError, match="never deleted"):
        change(path, "DELETE FROM audit")


async def test_a_damaged_document_is_named(path: Path) -> None:
    await filled(path, 1)
    change(path, "UPDATE outbox SET document = '{}'")
    with pytest.raises(Damaged, match=r"delivery d0 cannot be read \(KeyError: 'level'\); the ledger is damaged"):
        await ledger(path).open()


async def test_two_openers_leave_only_the_newer_one_writing(path: Path) -> None:
    old, new = ledger(path), ledger(path)
    first = await old.open()
    await old.commit([decision(1)], epoch=first.epoch)
    second = await new.open()
    for attempt in (old.commit([decision(2)], epoch=first.epoch), old.settle(delivery("d1"))):
        with pytest.raises(StateError, match="another guard took"):
            await attempt
    await new.commit([decision(3)], epoch=second.epoch)
    assert (await new.verify()).rows == 4
    await old.close()
    await new.close()


async def test_delivered_messages_go_after_thirty_days_and_the_trail_stays(path: Path) -> None:
    clock = HandClock()
    store = ledger(path, clock)
    epoch = (await store.open()).epoch
    end = transition(state=IsolationState.NORMAL, until_us=NOW)
    await store.commit([decision(1), decision(2), Decision(NOW, transitions=(end,))], epoch=epoch)
    await store.settle(delivered(delivery("d1")))
    clock.us += 30 * DAY + HOUR
    await store.commit([Decision(NOW)], epoch=epoch)
    assert await store.outbox() == {"ops": {"pending": 1}}
    clock.us += 10 * DAY
    await store.commit([Decision(NOW)], epoch=epoch)
    ((count,),) = await store._connection.execute_fetchall("SELECT count(*) FROM quarantines")
    assert count == 2
    assert (await store.verify()).rows == 5
    await store.close()
    # The sum over the table knows what went.
    store = ledger(path, clock)
    await store.open()
    await store.close()


async def test_the_table_of_quarantines_is_what_the_trail_tells(path: Path) -> None:
    await filled(path, 5)
    store = ledger(path)
    state = await store.open()
    told = {row["quarantine"]["id"]: row["quarantine"] for _, row in await store.changes(0) if row["type"] == "quarantine"}
    assert set(told) == {each.id for each in state.quarantines}
    await store.close()


async def test_an_epoch_that_bots_saw_is_never_taken_again(path: Path) -> None:
    store = ledger(path)
    assert (await store.open(after_epoch=41)).epoch == 42
    assert (await store.open()).epoch == 43
    await store.close()


async def test_a_damaged_index_is_found_at_the_start(path: Path) -> None:
    await filled(path, 50)
    with closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'outbox_settled'").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(bytes(4096))
    with pytest.raises(Damaged):
        await ledger(path).open()
