"""A recording that was killed, cut or damaged: what is read of it, and that no row is wrong."""

from __future__ import annotations

import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from test_recorder import ROOMY, Hands, facts, keys_of, live, rows_of, trades, until

from guard.errors import ConfigurationError
from guard.model import Kind
from guard_tape import Recorder, Tape

CHILD = """
import sys
from pathlib import Path
sys.path[:0] = [{here!r}]
from test_recorder import Limits, Recorder, facts, trades
from guard.client.clock import pause
from guard.runtime.clock import SystemClock
recorder = Recorder(Path(sys.argv[1]), clock=SystemClock(), limits=Limits(segment_us=400_000, free_bytes=0))
recorder.market(facts(0))
for first in range(0, 10_000_000, 20):
    recorder.append(trades(first, 20))
    print(first + 20, flush=True)
    pause(0.002)
"""


@pytest.mark.parametrize("seed", range(2))
def test_a_kill_loses_at_most_the_last_second(tmp_path: Path, seed: int) -> None:
    code = CHILD.format(here=str(Path(__file__).parent))
    wanted = 4_000 + 1_700 * seed
    taken: list[int] = []
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            taken.append(int(line))
            # Within its first second it may not have written anything yet.
            if taken[-1] >= wanted and sum(path.stat().st_size for path in tmp_path.glob("*.arrows")) > 10_000:
                break
        child.send_signal(signal.SIGKILL)
        taken += [int(line) for line in child.stdout if line.endswith("\n")]
    keys = keys_of(tmp_path)
    assert keys == list(range(len(keys)))
    # A second is 10,000 rows at most: 20 each 2 ms.
    assert taken[-1] - len(keys) <= 10_000
    before = len(keys)
    recorder = Recorder(tmp_path, clock=Hands(), limits=ROOMY)
    until(lambda: not list(tmp_path.glob("*.arrows")))
    assert recorder.close()
    assert keys_of(tmp_path) == list(range(before)), "what the next start compacts"


def torn(folder: Path) -> Path:
    """Return a live segment as a killed writer leaves it, in `folder`."""
    with Recording(folder) as recorder:
        recorder.market(facts(0))
        recorder.append(live())
        for first in range(0, 50_000, 500):
            recorder.append(trades(first, 500))
            if first % 5_000 == 0:
                until(lambda: not recorder.health().waiting)
        until(lambda: not recorder.health().waiting)
        (segment,) = folder.glob("*.arrows")
        copy = folder.parent / segment.name
        copy.write_bytes(segment.read_bytes())
    return copy


class Recording:
    def __init__(self, folder: Path) -> None:
        self.recorder = Recorder(folder, clock=Hands(), limits=ROOMY)

    def __enter__(self) -> Recorder:
        return self.recorder

    def __exit__(self, *error: object) -> None:
        self.recorder.close()


def test_a_segment_cut_at_any_byte_is_read_up_to_its_last_whole_frame(tmp_path: Path) -> None:
    segment = torn(tmp_path / "a")
    whole = segment.read_bytes()
    counts = []
    for size in [*range(len(whole) - 12, len(whole) - 1, 3), *range(3_000, len(whole), len(whole) // 20)]:
        segment.write_bytes(whole[:size])
        keys = keys_of(segment)
        assert keys == list(range(len(keys)))
        counts.append(len(keys))
        (hole,) = Tape([segment], exchange="x").holes
        assert hole["reason"].startswith(("torn", "not closed"))
    assert max(counts) > min(counts)
    segment.write_bytes(whole[:100])
    with pytest.raises(ConfigurationError, match="T004"):
        rows_of(segment)


def test_damage_in_the_middle_is_a_gap_and_never_a_wrong_row(tmp_path: Path) -> None:
    segment = torn(tmp_path / "a")
    whole = segment.read_bytes()
    right = {row for row in rows_of(segment) if row[0] == Kind.TRADE}
    gaps = 0
    for place in range(4_000, len(whole), len(whole) // 20):
        broken = bytearray(whole)
        broken[place] ^= 0x41
        segment.write_bytes(broken)
        try:
            rows = rows_of(segment)
        except ConfigurationError as error:
            assert "T004" in str(error)  # noqa: PT017 - either is right
            continue
        found = [row for row in rows if row[0] == Kind.TRADE]
        assert set(found) <= right
        assert all(a[2] < b[2] for a, b in pairwise(found))
        if len(found) < len(right):
            gaps += any(row[0] == Kind.GAP for row in rows) or bool(Tape([segment], exchange="x").holes)
    assert gaps > 5
    segment.write_bytes(whole[:5_000] + b"\xff" * 2_000_000 + whole[5_000:])
    assert Tape([segment], exchange="x").holes
