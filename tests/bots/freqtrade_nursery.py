"""Starts Freqtrades without importing it each time: it imports once, then each bot is a fork of its own.

A line of JSON on standard input (``words``, ``log``, ``cwd``, ``env``, ``user``, ``ended``) is answered with the number of the
process that runs ``freqtrade WORDS``. Importing Freqtrade takes ten seconds of a slow processor, a fork takes none. What guard is,
each bot imports itself.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from typing import Any

import freqtrade.freqtradebot
import freqtrade.main
import freqtrade.optimize.backtesting
import freqtrade.optimize.hyperopt
import freqtrade.rpc.api_server.webserver
import freqtrade.worker


def become(order: dict[str, Any]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    with open(order["log"], "ab") as log, open(os.devnull, "rb") as nothing:  # noqa: PTH123 - descriptors alone are wanted
        os.dup2(nothing.fileno(), 0)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    if order["user"] is not None:
        os.setgroups([])
        os.setgid(order["user"])
        os.setuid(order["user"])
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    sys.path[:0] = order["env"].get("PYTHONPATH", "").split(os.pathsep)
    sys.argv = ["freqtrade", *order["words"]]


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the dead
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        order = json.loads(line)
        number = os.fork()
        if number == 0:
            code: Any = 1
            try:
                become(order)
                freqtrade.main.main(order["words"])
            except SystemExit as end:
                code = end.code
            except BaseException:  # noqa: BLE001 - the log shows what ended the bot
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            if order["ended"]:
                with open(order["ended"], "w", encoding="ascii") as file:  # noqa: PTH123 - likewise
                    file.write(str(code if isinstance(code, int) else 0 if code is None else 1))
            os._exit(0)
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
