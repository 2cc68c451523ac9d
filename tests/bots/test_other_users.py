"""guard and bots as different users of one machine: one in guard's group reads and reports, a stranger is told why it may not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from freqtrade_processes import plain_environment, wait_for
from freqtrade_support import Exchange, GuardRun

if TYPE_CHECKING:
    from collections.abc import Iterator

GUARD: Final = ["setpriv", "--reuid=2001", "--regid=2000", "--clear-groups"]
MEMBER: Final = ["setpriv", "--reuid=2002", "--regid=2002", "--groups=2000"]
STRANGER: Final = ["setpriv", "--reuid=2003", "--regid=2003", "--clear-groups"]

# What a bot does: an entry on a free and on a held market, a sale, a strategy's hook, and a report.
BOT: Final = """
import json, sys
from guard.client import Guard
from guard.client.freqtrade import GuardMixin

class Interface:
    def confirm_trade_entry(self, pair, order_type, amount, rate, time_in_force, current_time, entry_tag, side, **words):
        return True

class Strategy(GuardMixin, Interface):
    guard_path = sys.argv[1]
    config = {"runmode": "dry_run", "exchange": {"name": "binance"}, "bot_name": "mine", "stake_currency": "USDT"}

guard = Guard(sys.argv[1], "mine")
guard.report(bot_kind="plain", positions={"binance:MOON/USDT": 2})
guard.count("binance", "MOON/USDT", "blocked")
asked = lambda pair, side: guard.check("binance", pair, side)
strategy = Strategy()
print(json.dumps({
    "free": asked("ETH/USDT", "buy").permitted, "held": asked("MOON/USDT", "buy").permitted,
    "sale": asked("MOON/USDT", "sell").permitted, "reason": asked("ETH/USDT", "buy").reason, "problem": guard.problem,
    "enters": bool(strategy.confirm_trade_entry("ETH/USDT", "limit", 1.0, 1.0, "GTC", None, None, "long")),
}))
"""


def runs(words: list[str]) -> bool:
    told = subprocess.run([*words, sys.executable, "-c", "import guard"], capture_output=True, check=False, env=plain_environment())
    return told.returncode == 0


@pytest.fixture(scope="module")
def guard() -> Iterator[GuardRun]:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root may start processes of other users, with setpriv")
    if not runs(STRANGER):
        pytest.skip(f"other users may not execute {sys.executable}, or may not pass to where guard lies")
    folder = Path(tempfile.mkdtemp(prefix="guard-users-"))
    folder.chmod(0o711)
    try:
        with Exchange(count=16) as exchange:
            run = GuardRun(folder / "guard", exchange)
            run.as_user = GUARD
            for path, mode in ((run.folder, 0o711), (run.state, 0o710), (run.snapshot.parent, 0o750)):
                path.mkdir(exist_ok=True)
                path.chmod(mode)
                os.chown(path, 2001, 2000)
            with run:
                run.hold(["MOON/USDT"])
                yield run
    finally:
        shutil.rmtree(folder)


def bot(guard: GuardRun, words: list[str]) -> dict[str, Any]:
    found = subprocess.run(
        [*words, sys.executable, "-c", BOT, str(guard.state)],
        capture_output=True, text=True, timeout=60, check=False, cwd="/", env=plain_environment(),
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    answer: dict[str, Any] = json.loads(found.stdout)
    return answer


def test_bot_of_another_user_in_the_group_reads_and_its_report_arrives(guard: GuardRun) -> None:
    wait_for("a free market is permitted", lambda: bot(guard, MEMBER)["free"])
    answer = bot(guard, MEMBER)
    assert (answer["held"], answer["sale"], answer["problem"], answer["enters"]) == (False, True, None, True)

    def told() -> Any:
        bots = json.loads(guard.command("--json", "status"))["bots"]
        return "mine" in json.dumps(bots) and bots

    assert "binance:MOON/USDT" in json.dumps(wait_for("guard knows the bot", told))


def test_bot_of_a_user_who_may_not_read_refuses_entries_passes_sales_and_says_how_to_mend_it(guard: GuardRun) -> None:
    answer = bot(guard, STRANGER)
    assert (answer["free"], answer["held"], answer["sale"], answer["enters"]) == (False, False, True, False)
    assert "may not" in answer["problem"] or "ermission" in answer["problem"], answer["problem"]
    assert "group" in answer["problem"], answer["problem"]
