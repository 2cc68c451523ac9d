"""Plays the tests of a pack in two processes, of which the one that plays t2 is killed; prints what came of it."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guard.dsl.problems import Report
from guard.runtime.rehearsal.collection import collect, read_cases
from guard.runtime.rehearsal.runner import Rehearsal

if TYPE_CHECKING:
    from guard.runtime.rehearsal.collection import FoundCase

PARENT = os.getpid()


class Deadly(Rehearsal):
    """Loses the process of one test."""

    def _played(self, test: FoundCase) -> Any:  # noqa: ANN401 - as the method it stands for
        if test.name == "t2":
            assert os.getpid() != PARENT, "nothing was forked"
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._played(test)


def main() -> None:
    pack = Path(sys.argv[1])
    report = Report()
    collection = collect([str(pack)], pack.parent / "guard.yaml", {})
    cases = read_cases(collection.files, collection.rules, report)
    records = list(Deadly(collection.rules, cases, jobs=2).run(report))
    problems = [(problem.id, problem.line, problem.message) for problem in report.errors]
    sys.stdout.write(json.dumps([[record["test"] for record in records], problems]))


if __name__ == "__main__":
    main()
