"""The client as one file in each bot's own environment: nothing is installed, nothing but the standard library is imported."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Final

import pytest
from client.images import image, quarantine, view
from freqtrade_processes import HERE, plain_environment

from guard.client.clock import MACHINE
from guard.runtime.clock import SystemClock
from guard.runtime.publish import SnapshotPublisher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BOTS: Final = {"freqtrade": ".venv", "ccxt": ".venv", "nautilus": ".venv-nautilus", "hummingbot": ".venv-hummingbot"}
ASKS: Final = """
import json, sys
sys.path.insert(0, sys.argv[1])
before = set(sys.modules)
import guard_client
foreign = {name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names) - {"guard_client"}
guard = guard_client.Guard(sys.argv[2])
asked = {pair: guard.check("binance", pair, "buy").permitted for pair in ("FREE/USDT", "HELD/USDT")}
print(json.dumps({"foreign": sorted(foreign), "names": guard_client.__all__, "asked": asked, "problem": guard.problem}))
"""


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Publish for as long as the tests run, as a guard does."""
    folder = tmp_path_factory.mktemp("state")
    (folder / "snapshot").mkdir()
    publisher = SnapshotPublisher(folder / "snapshot", SystemClock(), boot_id=MACHINE.boot_id)
    held = quarantine("binance:HELD/USDT", until_us=SystemClock().now_us() + 3_600_000_000)
    publisher.publish(image(held, markets={"binance:FREE/USDT": view(), "binance:HELD/USDT": view()}), epoch=1, seq=1, durable=True)
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(0.1):
            publisher.beat()

    beating = threading.Thread(target=beat)
    beating.start()
    yield folder
    ended.set()
    beating.join()
    publisher.stop()


def run(*command: str) -> str:
    found = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, cwd=HERE.parents[1], env=plain_environment()
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def environment(python: Path) -> tuple[str, list[tuple[str, int]]]:
    """Return what pip says is installed, and every file beside it with its size, but for compiled ones."""
    folder = next((python.parents[1] / "lib").glob("python3*")) / "site-packages"
    files = sorted((str(path.relative_to(folder)), path.stat().st_size) for path in folder.rglob("*.py"))
    return run(str(python), "-I", "-m", "pip", "--disable-pip-version-check", "freeze", "--all"), files


@pytest.mark.parametrize("adapter", BOTS)
def test_vendored_client_changes_no_package_of_the_bot_and_answers_there(adapter: str, state: Path, tmp_path: Path) -> None:
    python = HERE / BOTS[adapter] / "bin" / "python"
    if not python.exists():
        pytest.skip("the bot is not installed; run: make test-bots")
    before = environment(python)
    run(sys.executable, "-m", "guard", "client", "vendor", str(tmp_path), "--adapter", adapter)
    answer = json.loads(run(str(python), "-I", "-c", ASKS, str(tmp_path), str(state)))
    assert environment(python) == before
    assert "guard" not in before[0].lower().split()
    assert answer["foreign"] == []
    assert {"GuardMixin", "guarded"} & set(answer["names"])
    assert (answer["problem"], answer["asked"]) == (None, {"FREE/USDT": True, "HELD/USDT": False})
