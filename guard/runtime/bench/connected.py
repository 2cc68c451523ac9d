"""Programs that read an exchange on loopback, each in a process of its own: stock ccxt beside guard's connector in its tiers."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from guard.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["TIERS", "Exchange"]

TIERS = ("stock", "generic", "fast")
_STOP_S = 10.0


class Exchange:
    """An exchange and its readers, as a context manager; entering raises Unavailable where one of them cannot run.

    Parameters
    ----------
    what
        ``trades`` or ``book``.
    markets
        How many are read.
    tiers
        Which readers there are.
    """

    def __init__(self, what: str, markets: int, tiers: Sequence[str] = TIERS) -> None:
        self._what = what
        self._markets = str(markets)
        self._tiers = tiers
        self._programs: dict[str, subprocess.Popen[str]] = {}

    def __enter__(self) -> Self:
        try:
            url = f"http://127.0.0.1:{self._start('server', 'server', self._markets)['port']}"
            for tier in self._tiers:
                _greet(tier, self._start(tier, "client", url, tier, self._what, self._markets))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for program in reversed(self._programs.values()):
            assert program.stdin is not None
            with suppress(BrokenPipeError):
                program.stdin.close()
        for program in self._programs.values():
            try:
                program.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()
            assert program.stdout is not None
            program.stdout.close()

    def ask(self, tier: str, **asked: float) -> Mapping[str, Any]:
        """Let the exchange send, and return what the reader tells of it; see `guard_ccxt.bench.client.run`."""
        program = self._programs[tier]
        assert program.stdin is not None
        # A program that is gone is told by its silence.
        with suppress(BrokenPipeError):
            program.stdin.write(json.dumps(asked) + "\n")
            program.stdin.flush()
        return self._line(tier)

    def round(self, number: int, **asked: float) -> dict[str, Mapping[str, Any]]:
        """Ask every reader, in an order that turns with each round."""
        tiers = self._tiers[:: -1 if number % 2 else 1]
        return {tier: self.ask(tier, **asked) for tier in tiers}

    def _start(self, name: str, *words: str) -> dict[str, Any]:
        self._programs[name] = subprocess.Popen(  # noqa: S603 - our own program, which this package may not import
            [sys.executable, "-m", "guard_ccxt.bench", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self._line(name)

    def _line(self, name: str) -> dict[str, Any]:
        program = self._programs[name]
        assert program.stdout is not None
        line = program.stdout.readline()
        if not line:
            raise Unavailable(f"the {name} program of the live bench ended with code {program.wait(_STOP_S)}")
        return dict(json.loads(line))


def _greet(tier: str, hello: Mapping[str, Any]) -> None:
    if not hello["ready"]:
        raise Unavailable(f"the {tier} reader did not get all of its streams")
    if hello.get("tier", tier) != tier:
        raise Unavailable("the fast tier needs msgspec: pip install 'trading-guard[fast]'")
