"""Tests of rules over several processes: a process that dies takes its test with it, and no other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from guard.dsl.problems import Report
from guard.errors import ConfigurationError
from guard.runtime.rehearsal.collection import Collection, FoundCase, collect, read_cases
from guard.runtime.rehearsal.runner import Rehearsal

RULES = "rules: {jump: {mode: enforce, level: danger, when: ret(10s) > 2%}}\n"
TEST = "  t{}: {{rule: jump, warm: {{live: 30s, history: 0s}}, length: 1s, expect: [{{never: warning}}]}}\n"
PACK = RULES + "tests:\n" + "".join(map(TEST.format, range(6)))


@pytest.fixture
def found(tmp_path: Path) -> tuple[Collection, list[FoundCase]]:
    pack = tmp_path / "own.yaml"
    pack.write_text(PACK, encoding="utf-8")
    collection = collect([str(pack)], tmp_path / "guard.yaml", {})
    return collection, read_cases(collection.files, collection.rules, Report())


class Lost(Rehearsal):
    """Does not find the recording of the third test."""

    def _played(self, test: FoundCase) -> Any:  # noqa: ANN401 - as the method it stands for
        if test.name == "t2":
            raise ConfigurationError("there is no such recording")
        return super()._played(test)


def test_test_whose_process_dies_is_told_of_and_the_others_are_played(tmp_path: Path) -> None:
    # A process of its own: where other threads run, as in a long row of tests, nothing is forked, and all is played in this one.
    (tmp_path / "own.yaml").write_text(PACK, encoding="utf-8")
    program = Path(__file__).with_name("deadly.py")
    done = subprocess.run([sys.executable, program, tmp_path / "own.yaml"], capture_output=True, text=True, check=True, timeout=60)
    records, ((code, line, message),) = json.loads(done.stdout)
    assert records == ["t0", "t1", "t3", "t4", "t5"]
    assert (code, line) == ("E091", 5)
    assert message == "the test could not be played: its process died by signal 9"


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_a_test_raises_elsewhere_is_raised_here(found: tuple[Collection, list[FoundCase]], jobs: int) -> None:
    with pytest.raises(ConfigurationError, match="no such recording"):
        list(Lost(found[0].rules, found[1], jobs=jobs).run(Report()))
