"""``unshare -rn python -m faults.feed_blackhole [DIALECTS]``: half-open TCP by the kernel, in a network namespace of its own.

The namespace's loopback goes down while connections stand: every packet of theirs is lost, none is refused, and no side is told,
as with a firewall that drops. It comes up again after some seconds; new connections then succeed, the old ones are dead to us.
"""

from __future__ import annotations

import asyncio
import sys

from faults.feed_run import hasten, running

from guard_sim.dialects import DIALECTS

DARK_S = 5.0


async def link(state: str) -> None:
    """Set the loopback of this namespace up or down."""
    process = await asyncio.create_subprocess_exec("ip", "link", "set", "lo", state)
    if await process.wait():
        raise SystemExit("this needs a network namespace of its own: unshare -rn python -m faults.feed_blackhole")


async def through(dialect: str) -> list[str]:
    """Let everything be lost for a while and return what is wrong afterwards."""
    hasten()
    async with running(dialect, seed=1) as run:
        await link("down")
        await asyncio.sleep(DARK_S)
        told = run.heard.not_live()
        await link("up")
        try:
            live_s = await run.settle()
        except AssertionError as error:
            return [f"not live again: {error}"]
        await asyncio.sleep(2.0)
        wrong = run.heard.faults()
        stalls = [note for note in run.connector.health().notes if "silent" in note]
        line = (
            f"{dialect:<8} dark for {DARK_S:g} s: {len(told)} things not live then, all live {live_s:.1f} s after it; {stalls[:1]}"
        )
        print(line)  # noqa: T201 - a command
        return [*wrong, *([] if told else ["nothing was noticed"])]


async def main(dialects: list[str]) -> int:
    """Go through each dialect; 1 where something was wrong."""
    await link("up")
    found = {dialect: await through(dialect) for dialect in dialects}
    for dialect, wrong in found.items():
        for text in wrong:
            print(f"WRONG {dialect}: {text}")  # noqa: T201 - a command
    return int(any(found.values()))


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1].split(",") if len(sys.argv) > 1 else list(DIALECTS))))
