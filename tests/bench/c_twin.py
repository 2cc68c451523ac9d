"""The same loop in C: state upkeep of trades and books, from the same rows, over the same events, to the same bits."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[2] / "connectors")]

from compiled import FLAGS, NoCompilerError, library
from peer import answer, say, timed

TWIN = Path(__file__).with_name("twin.c")


def main(path: str) -> None:
    """Answer until stdin ends."""
    import numpy as np
    from twin import Twin, header

    from guard.runtime.bench.state import upkeep
    from guard.runtime.bench.workload import Columns, Markets

    try:
        built = library(TWIN, headers={"slots.h": header()})
    except NoCompilerError as error:
        say(missing=str(error))
        return
    file = np.load(path)
    columns = Columns(**{name: file[name] for name in Columns._fields})
    fresh = upkeep(Markets(len(file["middle"])))

    def once() -> tuple[float, int]:
        twin = Twin(built, fresh())
        return timed(lambda: twin.run(columns)), columns.rows

    answer(f"C {' '.join(FLAGS[1:3])}", once)


if __name__ == "__main__":
    main(sys.argv[1])
