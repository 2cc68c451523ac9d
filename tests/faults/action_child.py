"""A guard without a network: commits one decision with a webhook and a call, delivers them, and is killed on the way."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detection.own import MARKETS, START, batch, tape
from guard_notebook import Append

from guard.alerts.calls import Calls
from guard.alerts.dispatch import Dispatch
from guard.alerts.endpoints import Endpoint
from guard.alerts.outbox import Outbox
from guard.alerts.webhooks import Webhooks
from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.pipeline import Pipeline
from guard.runtime.action_watch import lanes_of
from guard.runtime.clock import SystemClock, seeded_random
from guard.store import LedgerStore

if TYPE_CHECKING:
    from guard.dsl import Program
    from guard.model import ActionEvent
    from guard.model.ports import Action

RULE = """
rules:
  busy:
    mode: enforce
    scope: {symbol: "A/USDT"}
    when: trades(10s) >= 3
    level: danger
    actions:
      danger:
        - quarantine
        - webhook: bot
        - call: {name: notebook.append, args: {folder: "%s"}}
"""


def program(folder: Path) -> Program:
    report = Report()
    rules = rules_from_text(RULE % folder, report)
    assert not report.errors, report.problems
    return compile_rules(rules)


class Deadly(Append):
    """Does it, and takes the process with it before anybody hears, once its input has a line."""

    def run(self, event: ActionEvent) -> str:
        super().run(event)
        sys.stdin.readline()
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def outbox_of(
    store: LedgerStore, url: str, rules: Program, actions: dict[str, type[Action]] | None = None
) -> tuple[Outbox, Webhooks]:
    """Return an outbox, and what has to be closed after it."""
    clock = SystemClock()
    webhooks = Webhooks({"bot": Endpoint(url, b"key", 5.0, {})}, clock)
    carriers = Dispatch(webhooks, webhooks=webhooks, calls=Calls(actions))
    return Outbox(store, carriers, lanes_of(rules), clock, seeded_random(7), lambda _: None), webhooks


def busy_now(now_us: int) -> Any:  # noqa: ANN401 - a batch
    shift_us = now_us - START - 60_000_000
    rows = [{**row, "at_us": row["at_us"] + shift_us, "received_us": row["received_us"] + shift_us} for row in tape()]
    return batch(rows)


async def main(folder: Path, url: str, when: str) -> None:
    clock, rules = SystemClock(), program(folder)
    store = LedgerStore(folder / "ledger.sqlite", clock)
    ledger = await store.open()
    pipeline = Pipeline(rules)
    for facts in MARKETS:
        pipeline.open(facts)
    decision = pipeline.process(busy_now(clock.now_us()))
    assert len(decision.deliveries) == 2, decision
    await store.commit([decision], epoch=ledger.epoch)
    os.write(1, b"committed\n")
    if when != "committed":
        outbox, _ = outbox_of(store, url, rules, {"notebook.append": Deadly} if when in {"called", "noted"} else None)
        outbox.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
