"""The file of the kept state: what goes in comes out, and whatever else lies there is refused in words."""

from __future__ import annotations

import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.errors import StateError
from guard.runtime import checkpoint
from guard.runtime.checkpoint import Entry, Header, Kept, pack, read, unpack, write

if TYPE_CHECKING:
    from pathlib import Path

HEADER = Header(layout=3, code="0.1.0", saved_us=10**15)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | TEXT, lambda inner: st.lists(inner, max_size=3), max_leaves=6
)
KEPT = st.builds(Kept, st.dictionaries(TEXT, JSON, max_size=4), st.dictionaries(TEXT, st.binary(max_size=200), max_size=6))


@settings(max_examples=100, deadline=None)
@given(KEPT)
def test_a_market_comes_out_as_it_went_in(kept: Kept) -> None:
    assert unpack(pack(kept)) == kept


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(TEXT, st.tuples(st.integers(-(2**62), 2**62), st.binary(max_size=60)), max_size=6), st.data())
def test_a_file_comes_out_as_it_went_in_and_no_part_of_it_passes_for_it(
    tmp_path_factory: pytest.TempPathFactory, markets: dict[str, tuple[int, bytes]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("kept") / "checkpoint"
    entries = {name: Entry(*entry) for name, entry in markets.items()}
    size = write(path, HEADER, entries)
    content = path.read_bytes()
    assert size == len(content)
    assert read(path, layout=3) == (HEADER, entries)
    path.write_bytes(content[: data.draw(st.integers(0, size - 1), label="torn at")])
    with pytest.raises(StateError, match="checkpoint"):
        read(path, layout=3)
    at = data.draw(st.integers(0, size - 1), label="flipped at")
    path.write_bytes(content[:at] + bytes([content[at] ^ (1 << data.draw(st.integers(0, 7)))]) + content[at + 1 :])
    with pytest.raises(StateError, match="checkpoint"):
        read(path, layout=3)


@settings(max_examples=100, deadline=None)
@given(KEPT, st.data())
def test_a_damaged_market_is_refused_or_harmless(kept: Kept, data: st.DataObject) -> None:
    body = pack(kept)
    at = data.draw(st.integers(0, len(body) - 1))
    for damaged in (body[:at], body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :], zlib.compress(zlib.decompress(body)[:at])):
        with suppress(StateError):
            assert isinstance(unpack(damaged), Kept)


def test_another_layout_or_form_is_refused_with_both_versions(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    write(path, HEADER, {})
    with pytest.raises(StateError, match=r"layout 3, written by guard 0\.1\.0; this guard reads layout 4"):
        read(path, layout=4)
    content = bytearray(path.read_bytes())
    content[8] = 9
    path.write_bytes(content)
    with pytest.raises(StateError, match="form 9; this guard reads form 1"):
        read(path, layout=3)
    path.write_bytes(b"SQLite format 3\0" * 9)
    with pytest.raises(StateError, match="no kept state"):
        read(path, layout=3)


def test_a_bomb_and_a_giant_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StateError, match="16777216"):
        unpack(zlib.compress(bytes(1 << 27)))
    monkeypatch.setattr(checkpoint, "BODY_MAX", 100)
    with pytest.raises(StateError, match="at most 100"):
        pack(Kept({}, {"ring": bytes(200)}))
    monkeypatch.setattr(checkpoint, "FILE_MAX", 100)
    with pytest.raises(StateError, match="at most 50"):
        write(tmp_path / "checkpoint", HEADER, {"a": Entry(0, bytes(51))})
    (tmp_path / "checkpoint").write_bytes(bytes(101))
    with pytest.raises(StateError, match="at most 100"):
        read(tmp_path / "checkpoint", layout=3)


def test_a_write_that_fails_leaves_the_file_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint"
    write(path, HEADER, {"a": Entry(1, b"x")})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            write(path, HEADER, {"a": Entry(2, b"y")})
    assert read(path, layout=3)[1] == {"a": Entry(1, b"x")}
    assert path.stat().st_mode & 0o777 == 0o600
    write(path, HEADER, {})
    assert sorted(each.name for each in tmp_path.iterdir()) == ["checkpoint"]
