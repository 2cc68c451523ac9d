"""``python -m guard_sim.server``: the options come as one JSON argument, the addresses go to stdout as one JSON line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from typing import Any

from guard.errors import ConfigurationError
from guard_sim.server.serve import serve

CONFIGURATION = 3
UNAVAILABLE = 4


def main(arguments: list[str]) -> int:
    """Serve until stdin ends, SIGTERM or SIGINT; return the exit code."""
    options: dict[str, Any] = json.loads(arguments[0]) if arguments else {}
    try:
        asyncio.run(_run(options))
    except ConfigurationError as error:
        return _leave(CONFIGURATION, str(error))
    except OSError as error:
        return _leave(UNAVAILABLE, error.strerror or str(error))
    except (KeyboardInterrupt, asyncio.CancelledError):
        pass
    return 0


async def _run(options: dict[str, Any]) -> None:
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Windows has no signal handlers in a loop; there the end of stdin does it.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, task.cancel)
    await serve(options, _announce, with_parent=True)


def _announce(urls: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(urls) + "\n")
    sys.stdout.flush()


def _leave(code: int, message: str) -> int:
    sys.stdout.write(json.dumps({"error": message, "code": code}) + "\n")
    sys.stdout.flush()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
