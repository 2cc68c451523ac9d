"""simpleeval: one expression, parsed before the timed part; only its names change from row to row."""

from __future__ import annotations

import sys
from importlib.metadata import version

from expressions import EXPRESSION, evaluated
from peer import answer, say


def main(path: str) -> None:
    """Answer until stdin ends."""
    try:
        from simpleeval import SimpleEval
    except ImportError as error:
        say(missing=str(error))
        return
    evaluator = SimpleEval()
    parsed = evaluator.parse(EXPRESSION)

    def evaluate(row: dict[str, float]) -> object:
        evaluator.names = row
        return evaluator.eval(EXPRESSION, previously_parsed=parsed)

    answer(f"simpleeval {version('simpleeval')}", evaluated(path, evaluate))


if __name__ == "__main__":
    main(sys.argv[1])
