"""Yardsticks in processes of their own: other libraries and the C twin, which guard's environment never sees."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

from guard.errors import Unavailable

if TYPE_CHECKING:
    from guard.runtime.bench.expression import Variables
    from guard.runtime.bench.workload import Columns, Markets

__all__ = ["PEERS", "Peer"]

# Each program, and whether it needs the peers' environment rather than guard's.
PEERS = {
    "c": ("c_twin.py", False),
    "nautilus": ("nautilus_noop.py", True),
    "river": ("river_sums.py", True),
    "cel": ("cel_expression.py", True),
    "simpleeval": ("simpleeval_expression.py", True),
}
_STOP_S = 10.0


class Peer:
    """A program that measures something else on our rows, one round whenever it is asked.

    Parameters
    ----------
    name
        One of `PEERS`.
    folder
        Where the programs lie; None where there are none.
    columns, markets
        What the program is given: a record of columns, and, where they are events, the markets that they are of.

    Notes
    -----
    The program gets a file of numpy columns, says ``{"name": ...}`` or ``{"missing": why}`` in one line, and then answers each line
    ``round`` with ``{"seconds": s, "events": n}``. It leaves when its input ends. Use it as a context manager; entering raises
    Unavailable with the reason where the program cannot run.
    """

    def __init__(self, name: str, folder: Path | None, columns: Columns | Variables, markets: Markets | None = None) -> None:
        self.name = name
        self._folder = folder
        self._columns = columns
        self._markets = markets
        self._files = TemporaryDirectory(prefix="guard-bench-")

    def __enter__(self) -> Self:
        try:
            words = self._words()
            self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own programs
        except BaseException:
            self._files.cleanup()
            raise
        hello = self._line()
        if "missing" in hello:
            self.__exit__()
            raise Unavailable(f"{self.name}: {hello['missing']}")
        self.name = hello["name"]
        return self

    def _words(self) -> list[str]:
        script, needs_environment = PEERS[self.name]
        if self._folder is None:
            raise Unavailable(f"{self.name}: no folder of peers was given (--peers tests/bench in a checkout; make bench does it)")
        path = self._folder / script
        python = self._folder / ".venv" / "bin" / "python" if needs_environment else Path(sys.executable)
        if not path.is_file():
            raise Unavailable(f"{self.name}: there is no {path}")
        if not python.exists():
            raise Unavailable(f"{self.name}: there is no {python}; make bench installs it")
        return [str(python), str(path), str(self._saved())]

    def _saved(self) -> Path:
        import numpy as np  # noqa: PLC0415 - only where a peer runs

        path = Path(self._files.name) / "rows.npz"
        markets = self._markets
        more = {} if markets is None else {"middle": markets.middle, "tick": markets.tick}
        with path.open("wb") as file:
            np.savez(file, **{**self._columns._asdict(), **more})
        return path

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.__exit__()
            raise Unavailable(f"{self.name}: the program ended with code {self._process.returncode}")
        return dict(json.loads(line))

    def per_event(self) -> float:
        """Run one round and return the seconds an event took."""
        assert self._process.stdin is not None
        # A program that is gone is told by its silence, below.
        with suppress(BrokenPipeError):
            self._process.stdin.write("round\n")
            self._process.stdin.flush()
        answer = self._line()
        return float(answer["seconds"]) / int(answer["events"])

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._files.cleanup()
