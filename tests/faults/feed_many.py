"""``python -m faults.feed_many [PAIRS]``: 80 markets on each of three embedded exchanges, through a burst, a reconnect, a resync.

Prints one row a phase: how long until every stream was live again, and what of each exchange's REST budget its dearest window took.
Ends with 1 where a phase took more than 60 s or a window more than a fifth of the budget.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import tempfile
from typing import Any

from guard.model import Channel, Flag, Kind, Market, Status
from guard.model.ports import ConnectorContext
from guard.runtime.clock import SystemClock, seeded_random
from guard_sim import SimConnector
from guard_sim.dialects import DIALECTS

LIVE_MAX_S = 60.0
SHARE = 0.2
GIVE_UP_S = 300.0


class Watched:
    """What of one exchange is live: which channels, and which books were shown anew since a mark."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.symbols: dict[int, str] = {}
        self.status: dict[tuple[int, int], int] = {}
        self.trades: dict[int, int] = {}
        self.shown: set[int] = set()
        self.renewed: set[int] = set()
        self.scored: set[tuple[int, int]] = set()
        self.twice = 0
        self.gaps = {Channel.TRADES: 0, Channel.BOOK: 0}
        self.dearest = 0
        self.begun = 0.0

    def mark(self) -> None:
        """Begin a phase."""
        self.shown.clear()
        self.renewed.clear()
        self.trades = dict.fromkeys(self.symbols, 0)
        self.gaps = dict.fromkeys(self.gaps, 0)
        self.dearest = 0

    def append(self, kind: int, market: int, **columns: Any) -> None:  # noqa: ANN401 - the columns of a row
        """Take one row."""
        flags, side = columns.get("flags", 0), columns.get("side", 0)
        if kind == Kind.LEVEL:
            if flags & Flag.SNAPSHOT:
                self.shown.add(market)
        elif kind == Kind.TRADE:
            if not flags & Flag.BACKFILL:
                self.trades[market] = self.trades.get(market, 0) + 1
                self.twice += (market, columns["key"]) in self.scored
                self.scored.add((market, columns["key"]))
        elif kind == Kind.GAP:
            self.gaps[Channel(side)] += 1
        elif kind == Kind.STATUS and columns["key"] < Status.WARM:
            for channel in (Channel.TRADES, Channel.BOOK) if side == Channel.ALL else (side,):
                self.status[market, channel] = columns["key"]
                if columns["key"] == Status.LIVE and channel == Channel.TRADES:
                    self.renewed.add(market)

    def missing(self, phase: str, burst: int) -> int:
        """Return how many markets are not where the phase must bring them."""
        live = {
            row for row in self.symbols if all(self.status.get((row, one)) == Status.LIVE for one in (Channel.TRADES, Channel.BOOK))
        }
        match phase:
            case "burst":
                live = {row for row in live if self.trades[row] >= burst}
            case "resync":
                live &= self.shown
            case _:
                live &= self.shown & self.renewed
        return len(self.symbols) - len(live)


async def look(sim: SimConnector, watched: Watched) -> dict[str, Any]:
    """Ask an exchange what the present window of its REST budget has cost, whoever asked."""
    rest: dict[str, Any] = (await sim._ask(f"{sim.urls['rest']}/control/health"))["rest"]
    watched.dearest = max(watched.dearest, rest["used"])
    return rest


async def phase(
    name: str, sims: dict[str, SimConnector], watched: dict[str, Watched], *, burst: int = 0
) -> tuple[float, list[str], bool]:
    """Wait until everything is live again; return how long it took, a line for each exchange, whether all is within the bars."""
    loop = asyncio.get_running_loop()
    took = dict.fromkeys(watched, GIVE_UP_S)
    while loop.time() - min(each.begun for each in watched.values()) < GIVE_UP_S:
        for each in watched.values():
            await look(sims[each.name], each)
            if took[each.name] == GIVE_UP_S and not each.missing(name, burst):
                took[each.name] = loop.time() - each.begun
        if max(took.values()) < GIVE_UP_S:
            break
        await asyncio.sleep(0.2)
    lines, is_good = [], True
    for each in watched.values():
        rest = await look(sims[each.name], each)
        share = each.dearest / rest["limit"]
        is_good &= took[each.name] <= LIVE_MAX_S and share <= SHARE
        left = each.missing(name, burst)
        lines.append(
            f"{name:<10} {each.name:<8} {len(each.symbols):>3} markets  live in {took[each.name]:6.1f} s  {left:>2} not  "
            f"REST {share:6.1%} of {rest['limit']} in {rest['window_s']} s at most  "
            f"gaps of trades {each.gaps[Channel.TRADES]:>3}, books {each.gaps[Channel.BOOK]:>3}  scored twice {each.twice}"
        )
    return max(took.values()), lines, is_good


async def measure(pairs: int) -> int:
    """Run all phases and print a line for each and each exchange."""
    sims: dict[str, SimConnector] = {}
    watched: dict[str, Watched] = {}
    is_good = True
    with tempfile.TemporaryDirectory() as folder:
        for number, dialect in enumerate(DIALECTS):
            context = ConnectorContext(
                name=dialect,
                options={"dialect": dialect, "count": pairs, "schedule": "calm", "seed": number},
                streams=frozenset({"trades", "book"}),
                clock=SystemClock(),
                random=seeded_random(number),
                cache_folder=folder,
                report=lambda text: print(f"  told: {text}"[:200]),  # noqa: T201 - a command
            )
            sims[dialect] = SimConnector(context)
            watched[dialect] = Watched(dialect)
        streams: list[asyncio.Task[None]] = []
        try:
            for dialect, sim in sims.items():
                facts = await sim.open()
                rows = {one.market: row for row, one in enumerate(facts)}
                watched[dialect].symbols = {row: market.symbol for market, row in rows.items()}
                watched[dialect].mark()
                watched[dialect].begun = asyncio.get_running_loop().time()
                streams.append(
                    asyncio.create_task(sim.stream({Market(dialect, m.symbol): row for m, row in rows.items()}, watched[dialect]))
                )
            for name, fault in (("start", None), ("burst", "burst"), ("reconnect", "drop"), ("resync", "skip_sequence")):
                burst = 30 if name == "burst" else 0
                for each in watched.values() if fault else ():
                    each.mark()
                    each.begun = asyncio.get_running_loop().time()
                    for symbol in each.symbols.values() if name == "resync" else (None,):
                        words = {"trades": burst} if burst else {"symbol": symbol, "for_s": 1.0}
                        await sims[each.name].fault(fault, **{key: value for key, value in words.items() if value is not None})
                _, lines, is_within = await phase(name, sims, watched, burst=burst)
                is_good &= is_within
                print("\n".join(lines), flush=True)  # noqa: T201 - a command
            for each in sims.values():
                health = each.health()
                print(f"{each._context.name}: {'; '.join(health.notes[-5:])}"[:600])  # noqa: T201 - a bench
        finally:
            for stream in streams:
                stream.cancel()
            await asyncio.gather(*streams, return_exceptions=True)
            for sim in sims.values():
                await sim.close()
    print(f"resident at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")  # noqa: T201 - a command
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 80)))
