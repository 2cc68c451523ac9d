"""Machine code for the rules of a plan: kept, made anew where what was kept is damaged, and no more of it than is useful."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from engine.streams import batches, fresh, stream

from guard.dsl import compile_rules, load_rules, shipped_packs

if TYPE_CHECKING:
    from pathlib import Path

native = pytest.importorskip("guard.features.kernel.native", reason="numba is not installed: nothing can be compiled")
images = pytest.importorskip("guard.features.kernel.images")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(native, "cache_folder", lambda: tmp_path)
    return tmp_path / "screens"


def made(folder: Path) -> bytes:
    """Make the code of a fresh pipeline and return what is kept of it."""
    screens = fresh(jit=True).native_screens()
    assert screens is not None
    assert all(screens().addresses.values())
    (kept,) = folder.iterdir()
    return kept.read_bytes()


def test_what_is_kept_is_taken_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = made(folder)
    monkeypatch.setattr(native, "compiled", lambda *_: pytest.fail("made anew"))
    assert made(folder) == first


@pytest.mark.parametrize("left", [0, 7, 16, 5_000])
def test_what_was_cut_off_is_made_anew(folder: Path, left: int) -> None:
    first = made(folder)
    (kept,) = folder.iterdir()
    kept.write_bytes(first[:left])
    assert made(folder) == first


def test_a_folder_that_takes_no_file_costs_nothing_but_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "screens").write_text("")
    monkeypatch.setattr(native, "cache_folder", lambda: tmp_path)
    screens = fresh(jit=True).native_screens()
    assert screens is not None
    assert all(screens().addresses.values())


def test_only_the_newest_are_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_KEPT_MAX", 3)
    folder.mkdir()
    for number in range(9):
        images.write(folder / f"{number}", b"x")
    assert len(list(folder.iterdir())) == 3


def test_code_for_other_rules_is_not_taken() -> None:
    subject = fresh(jit=True)
    late = subject.native_screens()
    assert late is not None
    subject.load(compile_rules(load_rules(shipped_packs()[:1])), subject.now_us)
    subject.take_native_screens(late())
    assert subject.native_screens() is not None, "nothing was taken: there is still something to make"
    for batch in batches(stream(1)[:200], 64):
        subject.process(batch)


def test_a_plain_pipeline_has_nothing_to_make() -> None:
    assert fresh(jit=False).native_screens() is None
