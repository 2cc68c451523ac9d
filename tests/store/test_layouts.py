"""A ledger of every earlier layout opens with all it holds; a migration that is ended leaves the old one or the new one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from store.decisions import NOW, HandClock

from guard.errors import StateError
from guard.model import DeliveryState
from guard.store import LedgerStore
from guard.store.backup import BackupFolder
from guard.store.layouts import LAYOUT, migrate
from guard.store.verify import look_at, verify_ledger

FIXTURES = Path(__file__).with_name("layouts")


def made(path: Path, layout: int) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((FIXTURES / f"{layout}.sql").read_text(encoding="utf-8"))
    path.chmod(0o600)
    return path


def schema(path: Path) -> list[tuple[str, object]]:
    with closing(sqlite3.connect(path)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        # Without defaults: a column that came later has one.
        return [(name, [row[1:4] for row in connection.execute(f"PRAGMA table_info({name})")]) for name in names]


def test_every_earlier_layout_has_its_fixture() -> None:
    assert sorted(int(file.stem) for file in FIXTURES.iterdir()) == list(range(1, LAYOUT))


@pytest.mark.parametrize("layout", range(1, LAYOUT))
async def test_a_ledger_of_an_earlier_layout_keeps_all_it_holds(tmp_path: Path, layout: int) -> None:
    path = made(tmp_path / "ledger.sqlite", layout)
    before = look_at(path)
    assert verify_ledger(path, now_us=NOW).layout == layout
    folder = BackupFolder(tmp_path / "backups")
    store = LedgerStore(path, HandClock(), before_migration=lambda file, _: folder.make(file) and None)
    state = await store.open()
    assert (state.seq, len(state.quarantines)) == (before.seq, 4)
    assert {each.id for each in state.pending} == {"d0", "d2", "d3"}
    assert [each.id for each in state.recent_deliveries if each.state is DeliveryState.DELIVERED] == ["d1"]
    assert (await store.verify()).head == before.head
    await store.close()
    after = verify_ledger(path, now_us=NOW)
    assert after._replace(layout=layout, epoch=before.epoch, bytes=0) == before._replace(bytes=0)
    # The backup is the old one, and opens where the new layout is not wanted any more.
    (backup,) = folder.backups()
    assert verify_ledger(backup.path, now_us=NOW).layout == layout
    new = LedgerStore(tmp_path / "new.sqlite", HandClock())
    await new.open()
    await new.close()
    assert schema(path) == schema(new.path)


class Ended(Exception):
    """The process ends here."""


@pytest.mark.parametrize("layout", range(1, LAYOUT))
def test_a_migration_that_ends_at_any_statement_leaves_the_old_ledger_or_the_new(tmp_path: Path, layout: int) -> None:
    path = made(tmp_path / "ledger.sqlite", layout)
    content = path.read_bytes()
    ends = []
    for number in range(1, 50):
        path.write_bytes(content)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            left = [number]

            def count(_: str, left: list[int] = left) -> None:
                left[0] -= 1

            connection.set_trace_callback(count)
            # Every virtual instruction may be the last one.
            connection.set_progress_handler(lambda left=left: left[0] <= 0, 1)
            try:
                migrate(connection)
            except sqlite3.OperationalError:
                ends.append(number)
        found = verify_ledger(path, now_us=NOW)
        assert found.layout in {layout, LAYOUT}
        if found.layout == LAYOUT and left[0] > 0:
            break
    assert len(ends) >= 4
    assert found.layout == LAYOUT


async def test_a_start_stops_where_no_backup_can_be_made_before_a_migration(tmp_path: Path) -> None:
    path = made(tmp_path / "ledger.sqlite", 1)

    def refuse(_: Path, layout: int) -> None:
        raise StateError(f"no room for a backup of layout {layout}")

    with pytest.raises(StateError, match="no room for a backup of layout 1"):
        await LedgerStore(path, HandClock(), before_migration=refuse).open()
    assert look_at(path).layout == 1
