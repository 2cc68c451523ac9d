"""Whatever happened to the ledger's file: a start keeps every block, or refuses and changes nothing."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from store.decisions import transition

from guard.client import Guard
from guard.client.payload import decode, encode
from guard.client.snapshot import read_snapshot
from guard.errors import StateError
from guard.model import AddQuarantine, Decision, Hold, IsolationState, Level, Quarantine, Target, TargetKind
from guard.quarantine import IsolationManager
from guard.runtime.adoption import adopted
from guard.runtime.clock import SystemClock, seeded_random
from guard.runtime.ledger_desk import rebuilt_text
from guard.runtime.ledger_keeper import LedgerKeeper
from guard.runtime.state import StateFolder
from guard.runtime.taking import take_ledger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from guard.client.payload import Snapshot
    from guard.model.quarantine import Transition
    from guard.runtime.taking import Taken

from guard.model import Image, Mode
from guard.quarantine import VisibleBlocks
from guard.runtime.publish import SnapshotPublisher

HELD = ("A", "B", "C", "D")
FLIPS = 60


def hold(name: str, *, for_us: int = 10**12) -> tuple[Transition, ...]:
    now_us = SystemClock().now_us()
    return IsolationManager().operate(AddQuarantine(Target(TargetKind.MARKET, f"sim:{name}/USDT"), for_us, "news", "ann"), now_us)


def publish(state: StateFolder, taken: Taken, *more: Transition, durable: bool = True) -> None:
    """Show bots what the ledger has, and `more`."""
    clock = SystemClock()
    visible = VisibleBlocks(taken.state.quarantines)
    image = Image(Mode.ENFORCE, clock.now_us(), {}, visible.show(more), {"*": {}})
    publisher = SnapshotPublisher(state.snapshot_folder, clock)
    publisher.publish(image, epoch=taken.state.epoch, seq=taken.state.seq, durable=durable)
    publisher.beat()


async def filled(path: Path) -> None:
    """Two blocks in the backup, one more in the journal, one more in the ledger and the snapshot alone; verdicts make it large."""
    clock = SystemClock()
    with StateFolder(path) as state:
        taken = await take_ledger(state, clock)
        epoch = taken.state.epoch
        keeper = LedgerKeeper(state.ledger, state.backups(), clock, epoch=epoch, every_us=10**12, announce=lambda *_: None)
        many = [Decision(1, transitions=(transition(number),)) for number in range(100)]
        await taken.store.commit([*many, *(Decision(1, transitions=hold(name)) for name in "AB")], epoch=epoch)
        keeper.back_up()
        await taken.store.commit([Decision(1, transitions=hold("C"))], epoch=epoch)
        await keeper.finish()
        await taken.store.commit([Decision(1, transitions=hold("D"))], epoch=epoch)
        publish(state, taken._replace(state=await taken.store.load()))
        await taken.store.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import asyncio

    path = tmp_path_factory.mktemp("whole") / "state"
    asyncio.run(filled(path))
    return path


def blocked(path: Path) -> tuple[str, ...]:
    bot = Guard(path)
    return tuple(name for name in HELD if bot.check("sim", f"{name}/USDT", "buy").status == "blocked")


async def start(path: Path) -> Taken | StateError:
    with StateFolder(path) as state:
        try:
            taken = await take_ledger(state, SystemClock())
        except StateError as error:
            return error
        publish(state, taken)
        await taken.store.close()
        return taken


def flip(at: int) -> Callable[[Path], None]:
    def damage(ledger: Path) -> None:
        content = bytearray(ledger.read_bytes())
        content[at % len(content)] ^= 1 << at % 8
        ledger.write_bytes(content)

    return damage


def cut(share: float) -> Callable[[Path], None]:
    return lambda ledger: os.truncate(ledger, int(ledger.stat().st_size * share))


def zeroed(page: int) -> Callable[[Path], None]:
    def damage(ledger: Path) -> None:
        with ledger.open("r+b") as file:
            file.seek(page * 4096)
            file.write(bytes(4096))

    return damage


def foreign(ledger: Path) -> None:
    ledger.unlink()
    with closing(sqlite3.connect(ledger)) as connection:
        connection.execute("CREATE TABLE bans (ip TEXT)")


def folder(ledger: Path) -> None:
    ledger.unlink()
    ledger.mkdir()


def link(ledger: Path) -> None:
    ledger.rename(ledger.with_name("elsewhere.sqlite"))
    ledger.symlink_to(ledger.with_name("elsewhere.sqlite"))


def older(ledger: Path) -> None:
    shutil.copy(next(ledger.parent.glob("backups/ledger-*.sqlite")), ledger)


MENDED = {
    "gone": lambda ledger: ledger.unlink(),
    "empty": cut(0),
    "cut to a half": cut(0.5),
    "cut in a page": cut(0.83),
    "text": lambda ledger: ledger.write_text("this is no database\n" * 1000),
    "page 0 zeroed": zeroed(0),
    "page 1 zeroed": zeroed(1),
    "page 3 zeroed": zeroed(3),
    "page 9 zeroed": zeroed(9),
    "all ones": lambda ledger: ledger.write_bytes(b"\xff" * ledger.stat().st_size),
    "an older ledger": older,
}
REFUSED = {
    "another program's": (foreign, "not a ledger of guard"),
    "a folder": (folder, "is no file"),
    "a link": (link, "is no file"),
    "others may write": (lambda ledger: ledger.chmod(0o622), "others may write"),
}


@pytest.mark.parametrize("name", MENDED)
async def test_a_start_mends_the_ledger_and_keeps_every_block(whole: Path, tmp_path: Path, name: str) -> None:
    path = shutil.copytree(whole, tmp_path / "state")
    MENDED[name](path / "ledger.sqlite")
    for log in path.glob("ledger.sqlite-*"):
        log.unlink()
    taken = await start(path)
    assert not isinstance(taken, StateError), taken
    assert blocked(path) == HELD
    assert taken.rebuilt is not None
    assert name == "gone" or list(path.glob("ledger.sqlite.damaged-*"))
    # Whoever starts once more before people were told finds the note again, and rebuilds nothing.
    again = await start(path)
    assert (again.rebuilt, again.adopted, blocked(path)) == (taken.rebuilt, 0, HELD)


@pytest.mark.parametrize("name", REFUSED)
async def test_a_start_refuses_what_is_not_its_ledger_and_changes_nothing(whole: Path, tmp_path: Path, name: str) -> None:
    path = shutil.copytree(whole, tmp_path / "state")
    damage, text = REFUSED[name]
    damage(path / "ledger.sqlite")
    before = (path / "ledger.sqlite").lstat()
    refused = await start(path)
    assert isinstance(refused, StateError)
    assert text in str(refused)
    after = (path / "ledger.sqlite").lstat()
    assert (before.st_ino, before.st_mtime_ns, before.st_mode) == (after.st_ino, after.st_mtime_ns, after.st_mode)
    assert blocked(path) == HELD


async def test_single_bits_that_flip_never_free_anything(whole: Path, tmp_path: Path) -> None:
    size, chance = (whole / "ledger.sqlite").stat().st_size, seeded_random(6)
    rebuilt = 0
    for number in range(FLIPS):
        path = shutil.copytree(whole, tmp_path / str(number))
        # Every byte of the first page's header, then anywhere.
        at = number if number < 30 else int(chance.random() * size)
        flip(8 * at + int(8 * chance.random()) if number < 30 else at)(path / "ledger.sqlite")
        taken = await start(path)
        assert blocked(path) == HELD, at
        rebuilt += not isinstance(taken, StateError) and taken.rebuilt is not None
        shutil.rmtree(path)
    assert rebuilt > FLIPS // 8


async def test_a_log_that_is_deleted_or_cut_frees_nothing(whole: Path, tmp_path: Path) -> None:
    path = shutil.copytree(whole, tmp_path / "state")
    with StateFolder(path) as state:
        taken = await take_ledger(state, SystemClock())
        await taken.store.commit([Decision(1, transitions=hold("E"))], epoch=taken.state.epoch)
        publish(state, taken._replace(state=await taken.store.load()))
        files = {file.name: file.read_bytes() for file in path.glob("ledger.sqlite*")}
        await taken.store.close()
    log = files["ledger.sqlite-wal"]
    for kept in (b"", log[: len(log) // 2], log[:-1], b"\xff" * len(log)):
        for name, content in {**files, "ledger.sqlite-wal": kept}.items():
            (path / name).write_bytes(content)
        (path / "ledger.sqlite-shm").unlink()
        with StateFolder(path) as state:
            taken = await take_ledger(state, SystemClock())
            assert {"sim:E/USDT", "sim:D/USDT"} <= {each.target.name for each in taken.state.quarantines}
            await taken.store.close()


async def test_without_any_source_the_start_is_refused_with_the_commands(tmp_path: Path) -> None:
    with StateFolder(tmp_path / "state") as state:
        taken = await take_ledger(state, SystemClock())
        await taken.store.commit([Decision(1, transitions=hold("A"))], epoch=1)
        publish(state, taken._replace(state=await taken.store.load()))
        await taken.store.close()
        content = b"\xff" * state.ledger.stat().st_size
        state.ledger.write_bytes(content)
    refused = await start(tmp_path / "state")
    assert isinstance(refused, StateError)
    assert "guard ledger restore" in str(refused)
    assert (tmp_path / "state" / "ledger.sqlite").read_bytes() == content
    assert blocked(tmp_path / "state") == ("A",)


async def test_a_block_that_was_shown_but_never_written_is_written_at_the_next_start(tmp_path: Path) -> None:
    with StateFolder(tmp_path / "state") as state:
        taken = await take_ledger(state, SystemClock())
        publish(state, taken, *hold("A"), durable=False)
        await taken.store.close()
    taken = await start(tmp_path / "state")
    assert (taken.adopted, taken.rebuilt, blocked(tmp_path / "state")) == (1, None, ("A",))
    (row,) = await audit(tmp_path / "state")
    assert (row["cause"], row["actor"], row["state"]) == ("snapshot", "guard", "quarantined")


async def audit(path: Path) -> list[dict[str, object]]:
    with StateFolder(path) as state:
        taken = await take_ledger(state, SystemClock())
        rows = await taken.store.audit()
        await taken.store.close()
        return list(rows)


async def test_a_committed_release_that_bots_were_not_told_of_stays_released(tmp_path: Path) -> None:
    with StateFolder(tmp_path / "state") as state:
        taken = await take_ledger(state, SystemClock())
        (opened,) = hold("A")
        await taken.store.commit([Decision(1, transitions=(opened,))], epoch=1)
        publish(state, taken._replace(state=await taken.store.load()))
        over = opened.quarantine._replace(state=IsolationState.NORMAL, until_us=SystemClock().now_us())
        end = opened._replace(quarantine=over, previous=IsolationState.QUARANTINED, cause="operator")
        await taken.store.commit([Decision(1, transitions=(end,))], epoch=1)
        await taken.store.close()
    taken = await start(tmp_path / "state")
    assert (taken.adopted, blocked(tmp_path / "state")) == (0, ())


async def test_only_tighter_and_newer_words_of_the_snapshot_count(tmp_path: Path) -> None:
    with StateFolder(tmp_path / "state") as state:
        taken = await take_ledger(state, SystemClock())
        (opened,) = hold("A")
        publish(state, taken, opened, durable=False)
        told = read_snapshot(str(state.snapshot))
        await taken.store.close()
    held, now_us = opened.quarantine, SystemClock().now_us()
    shrunk = held._replace(state=IsolationState.PROBATION)
    shorter = held._replace(until_us=held.until_us - 5)
    longer = held._replace(until_us=held.until_us + 5)
    assert [each.quarantine.state for each in adopted(told, [shrunk], [shrunk], seq=told.seq, now_us=now_us)] == ["quarantined"]
    assert [each.quarantine.until_us for each in adopted(told, [shorter], [shorter], seq=told.seq, now_us=now_us)] == [
        held.until_us
    ]
    assert adopted(told, [longer], [longer], seq=told.seq, now_us=now_us) == ()
    # The ledger went on since: what it says of a block it knows is newer.
    assert adopted(told, [shrunk], [shrunk], seq=told.seq + 1, now_us=now_us) == ()
    assert adopted(told, [], [], seq=told.seq, now_us=held.until_us) == ()
    # The same rule holds the same target under another id: one of them has to do for both.
    (both,) = adopted(told, [], [shorter._replace(id="other")], seq=told.seq, now_us=now_us)
    assert (both.quarantine.id, both.quarantine.until_us, both.previous) == ("other", held.until_us, "quarantined")
    over = held._replace(state=IsolationState.NORMAL)
    assert adopted(told, [over], [], seq=told.seq, now_us=now_us) == ()


async def test_an_older_ledger_is_refused_where_nothing_tells_the_rest(tmp_path: Path) -> None:
    with StateFolder(tmp_path / "state") as state:
        taken = await take_ledger(state, SystemClock())
        await taken.store.commit([Decision(1, transitions=hold("A"))], epoch=1)
        await taken.store.close()
        content = state.ledger.read_bytes()
        taken = await take_ledger(state, SystemClock())
        await taken.store.commit([Decision(1, transitions=hold("B"))], epoch=2)
        publish(state, taken._replace(state=await taken.store.load()))
        await taken.store.close()
        state.ledger.write_bytes(content)
    taken = await start(tmp_path / "state")
    assert blocked(tmp_path / "state") == ("A", "B")
    assert isinstance(taken, StateError) or taken.rebuilt is not None


async def test_backups_alone_tell_that_a_ledger_was_here(whole: Path, tmp_path: Path) -> None:
    path = shutil.copytree(whole, tmp_path / "state")
    for file in (path / "ledger.sqlite", path / "snapshot" / "guard.snapshot", *path.glob("backups/journal-*")):
        file.unlink()
    taken = await start(path)
    assert not isinstance(taken, StateError), taken
    assert taken.rebuilt is not None
    assert blocked(path) == ("A", "B")


def test_a_rebuild_is_told_a_sentence_a_line_for_a_message_cuts_long_lines() -> None:
    rebuilt = {
        "why": "the ledger is damaged",
        "base": "ledger-000001.sqlite",
        "base_seq": 3,
        "seq": 5,
        "aside": ["old"],
        "passed_over": [],
    }
    lines = rebuilt_text(rebuilt, 9).split("\n")
    assert lines[1] == "It was rebuilt from the backup ledger-000001.sqlite and 2 entries of its journal, up to entry 5."
    assert lines[2].startswith("Entries 6 to 9 are lost")
    assert max(map(len, lines)) < 200


@pytest.mark.parametrize("state", list(IsolationState)[1:])
def test_an_adopted_block_ends_at_its_announced_end_after_the_start_too(state: IsolationState) -> None:
    now_us, until_us = 10 * HOUR_US, 12 * HOUR_US
    shown = _shown("a", state=state, until_us=until_us)
    (taken,) = adopted(_told_of(shown), (), (), seq=0, now_us=now_us)
    assert _ends(taken, now_us) == until_us


@pytest.mark.parametrize("state", list(IsolationState)[1:])
@pytest.mark.parametrize("seen", list(IsolationState)[1:])
def test_a_tightened_block_ends_at_its_announced_end_after_the_start_too(state: IsolationState, seen: IsolationState) -> None:
    now_us = 10 * HOUR_US
    held = _shown("a", state=state, until_us=10 * HOUR_US + 60_000_000)
    shown = _shown("a", state=seen, until_us=13 * HOUR_US)
    changed = adopted(_told_of(shown), (held,), (held,), seq=0, now_us=now_us)
    is_weaker = (state, seen) == (IsolationState.QUARANTINED, IsolationState.PROBATION)
    assert [_ends(each, now_us) for each in changed] == ([] if is_weaker else [13 * HOUR_US])


HOUR_US = 3_600_000_000


def _shown(name: str, *, state: IsolationState, until_us: int) -> Quarantine:
    began_us = 9 * HOUR_US
    length_us = until_us - began_us
    target = Target(TargetKind.MARKET, "sim:A/USDT")
    hold = Hold("operator", None, target, Level.DANGER, "news", length_us, length_us, probation_us=length_us)
    return Quarantine(name, hold, state, began_us, until_us, until_us, until_us)


def _told_of(shown: Quarantine) -> Snapshot:
    image = Image(Mode.ENFORCE, 0, {}, (shown,), {"*": {}})
    return decode(encode(image, epoch=1, seq=0, durable=False, wall_us=0, boot_ns=0, boot_id=""))


def _ends(taken: Transition, now_us: int) -> int:
    manager = IsolationManager()
    manager.restore((taken.quarantine,), now_us)
    assert not manager.advance(now_us)
    return manager.advance(100 * HOUR_US)[0].at_us
