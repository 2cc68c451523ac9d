"""A command whose standard streams were closed by whoever started it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# Logging and a file opened at once, after the entry point has had its say.
PROGRAM = """
import os, sys
from guard.cli.main import main
try:
    main(["version"])
except SystemExit as end:
    assert end.code == 0, end.code
print("said", file=sys.stderr, flush=True)
sys.stderr.isatty(), sys.stdin.read()
sys.exit(7 if os.open("/dev/null", os.O_RDONLY) > 2 else 1)
"""


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_opened_before_any_file_can_take_their_numbers(closed: str) -> None:
    code = subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, PROGRAM],
        env=dict(os.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    ).returncode
    assert code == 7
