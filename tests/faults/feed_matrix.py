"""``python -m faults.feed_matrix SEEDS [DIALECTS [FAULTS [TIER]]]``: every fault on every dialect, so many seeds each.

A run is one exchange and one connector through all the faults in an order of the seed's; many go at once in each of a few processes
(JOBS of them, RUNS at once in each), because a run mostly waits. TIER both, the default, takes the fast tier for odd seeds, the
generic one for even ones. What came of each fault is added to the file RESULTS, where one is named; a run that stands there whole
is not done again, so that a long matrix may be done in parts. Ends with 1 where anything was wrong.

A run whose loop was held up for seconds by other work of the machine says nothing of what it found wrong: that is told as HELD UP,
and the run is done again the next time.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from faults.feed_run import PACE, PLANS, Outcome, said, through

from guard_sim.dialects import DIALECTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

RUNS, JOBS = 12, 2
WHOLE = "(whole run)"
_LAG_S = 0.05
_HELD_UP_S = 1.5 * PACE


class Part(NamedTuple):
    """One run: a dialect, a seed, a tier, and the faults it goes through."""

    dialect: str
    seed: int
    tier: str
    faults: list[str]

    @property
    def name(self) -> tuple[str, int, str]:
        """What it is told apart by."""
        return self.dialect, self.seed, self.tier


def parts_of(seeds: Iterable[int], dialects: list[str], faults: list[str], tier: str = "both") -> Iterator[Part]:
    """Yield every run."""
    for seed in seeds:
        for dialect in dialects:
            names = [name for name in faults if name != "expire_token" or dialect == "kucoin"]
            yield Part(dialect, seed, ("generic", "auto")[seed % 2] if tier == "both" else tier, names)


async def run(parts: Iterable[Part], tell: Callable[[dict[str, Any]], None], *, at_once: int = RUNS) -> None:
    """Do the runs, so many at once, and tell what came of each fault and of each run as a whole."""
    loop = asyncio.get_running_loop()
    gate = asyncio.Semaphore(at_once)
    lags: dict[tuple[str, int, str], float] = {}
    # Of a task that nobody asks any more it is not known whose it was: whatever run ends next has it.
    uncaught: list[str] = []
    loop.set_exception_handler(lambda _, about: uncaught.append(said(about)))

    async def one(part: Part) -> None:
        def take(outcome: Outcome) -> None:
            about = {"fault": outcome.fault, "wrong": list(outcome.wrong), "live_s": round(outcome.live_s, 2)}
            tell({"dialect": part.dialect, "seed": part.seed, "tier": part.tier, **about, "lag_s": round(lags[part.name], 2)})
            lags[part.name] = 0.0

        async with gate:
            wrong, lags[part.name] = [], 0.0
            try:
                await through(part.dialect, part.faults, seed=part.seed, on_outcome=take, options={"tier": part.tier})
            except Exception as error:  # noqa: BLE001 - one run of many
                wrong.append(f"the run ended with {error!r}")
            gc.unfreeze()  # what was frozen at the load of another run is not collected
            gc.collect()
            await asyncio.sleep(0)
            wrong += uncaught
            uncaught.clear()
            tell({"dialect": part.dialect, "seed": part.seed, "tier": part.tier, "fault": WHOLE, "wrong": wrong, "live_s": 0.0})
            del lags[part.name]

    async def late() -> None:  # how busy the machine was, for whoever wonders about a fault that took long
        while True:
            due = loop.time() + _LAG_S
            await asyncio.sleep(_LAG_S)
            lag_s = loop.time() - due
            lags.update({name: max(before_s, lag_s) for name, before_s in lags.items()})

    watching = asyncio.create_task(late())
    try:
        await asyncio.gather(*(one(part) for part in parts))
    finally:
        watching.cancel()


async def matrix(parts: list[Part], tell: Callable[[dict[str, Any]], None], *, jobs: int, at_once: int) -> None:
    """Do the runs in so many processes."""

    async def job(mine: list[Part]) -> None:
        command = [sys.executable, "-m", "faults.feed_matrix", "--job", str(at_once)]
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 24
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(mine).encode())
        process.stdin.close()
        async for line in process.stdout:
            if line.startswith(b"{"):
                tell(json.loads(line))
        if await process.wait():
            for part in mine:
                wrong = [f"the process of this run ended with {process.returncode}"]
                tell({"dialect": part.dialect, "seed": part.seed, "tier": part.tier, "fault": WHOLE, "wrong": wrong, "live_s": 0.0})

    await asyncio.gather(*(job(parts[number::jobs]) for number in range(min(jobs, len(parts)))))


def table(told: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield a line for each fault, dialect and tier."""
    by: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for one in told:
        by[one["fault"], one["dialect"], one["tier"]].append(one)
    yield f"{'fault':<15} {'dialect':<8} {'tier':<8} {'seeds':>5} {'wrong':>5}  live again in at most"
    for (fault, dialect, tier), found in sorted(by.items()):
        wrong, slowest = sum(bool(one["wrong"]) for one in found), max(one["live_s"] for one in found)
        yield f"{fault:<15} {dialect:<8} {tier:<8} {len({one['seed'] for one in found}):>5} {wrong:>5}  {slowest:>5.1f} s"


def before(path: Path | None) -> list[dict[str, Any]]:
    """Return what stands in a file of results; the beginning of a run that never ended is left out."""
    if path is None or not path.exists():
        return []
    found = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
    whole = {_name(one) for one in found if one["fault"] == WHOLE} - held_up(found)
    return [one for one in found if _name(one) in whole]


def held_up(told: Iterable[dict[str, Any]]) -> set[tuple[str, int, str]]:
    """Return the runs in which something was wrong and the loop was held up."""
    by: dict[tuple[str, int, str], list[dict[str, Any]]] = defaultdict(list)
    for one in told:
        by[_name(one)].append(one)
    is_late = {name: max(one.get("lag_s", 0.0) for one in found) > _HELD_UP_S for name, found in by.items()}
    return {name for name, found in by.items() if is_late[name] and any(one["wrong"] for one in found)}


def _name(one: dict[str, Any]) -> tuple[str, int, str]:
    return one["dialect"], one["seed"], one["tier"]


def main(words: list[str]) -> int:
    """Run what the command line asks for."""
    first, _, last = (words[0] if words else "3").partition("-")
    seeds = range(int(first), int(last) + 1) if last else range(1, int(first) + 1)
    dialects = words[1].split(",") if len(words) > 1 and words[1] else list(DIALECTS)
    faults = words[2].split(",") if len(words) > 2 and words[2] else list(PLANS)
    tier = words[3] if len(words) > 3 and words[3] else "both"
    path = Path(os.environ["RESULTS"]) if os.environ.get("RESULTS") else None
    told = before(path)
    done = {_name(one) for one in told}
    parts = [part for part in parts_of(seeds, dialects, faults, tier) if part.name not in done]

    def tell(one: dict[str, Any]) -> None:
        told.append(one)
        if path is not None:
            with path.open("a") as file:
                file.write(json.dumps(one) + "\n")
        for text in one["wrong"]:
            who = f"{one['fault']} {one['dialect']} {one['tier']} seed {one['seed']}"
            found = "HELD UP" if _name(one) in held_up(told) else "WRONG"
            print(f"{found} {who}: {text} (loop late {one.get('lag_s', 0)} s at most)", flush=True)  # noqa: T201 - a command

    number = int(os.environ.get("JOBS") or JOBS), int(os.environ.get("RUNS") or RUNS)
    asyncio.run(matrix(parts, tell, jobs=number[0], at_once=number[1]))
    print("\n".join(table(told)))  # noqa: T201 - a command
    wrong, late = sum(len(one["wrong"]) for one in told), held_up(told)
    about = f"; {len(late)} runs were held up by the machine: do them again" if late else ""
    print(f"{wrong} things went wrong in {len({_name(one) for one in told})} runs{about}")  # noqa: T201 - a command
    return min(1, wrong)


def work(at_once: int) -> None:
    """Do the runs that standard input names, and print what came of them as JSON lines."""
    parts = [Part(*one) for one in json.load(sys.stdin)]
    asyncio.run(run(parts, lambda one: print(json.dumps(one), flush=True), at_once=at_once))  # noqa: T201 - a command


if __name__ == "__main__":
    if sys.argv[1:2] == ["--job"]:
        work(int(sys.argv[2]))
    else:
        sys.exit(main(sys.argv[1:]))
