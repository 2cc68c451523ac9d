"""What the commands about rules load: each import is waited for by a person."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_HEAVY = (
    "ccxt",
    "pandas",
    "sklearn",
    "numpy",
    "numba",
    "aiohttp",
    "apprise",
    "aiosqlite",
    "asyncio",
    "guard.features.kernel",
    "guard.engine",
)
_PROGRAM = """
import sys
from guard.cli.main import main
pack = sys.argv[1]
for words in (["check", pack], ["list", pack], ["show", "pump_dump", pack], ["features"], ["schema"]):
    try:
        main(["rules", *words])
    except SystemExit as error:
        assert not error.code, words
print("LOADED", sorted(name for name in sys.argv[2:] if name in sys.modules))
"""


def test_check_list_show_features_and_schema_load_nothing_heavy() -> None:
    pack = Path(__file__).parents[2] / "rules" / "pump_dump.yaml"
    done = subprocess.run([sys.executable, "-c", _PROGRAM, str(pack), *_HEAVY], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED []"
