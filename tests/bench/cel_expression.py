"""cel (common-expression-language, in Rust): one expression, compiled before the timed part.

It mixes no whole numbers with others, so that its 3 is 3.0; ``and`` is ``&&`` there.
"""

from __future__ import annotations

import sys
from importlib.metadata import version

from expressions import EXPRESSION, evaluated
from peer import answer, say


def main(path: str) -> None:
    """Answer until stdin ends."""
    try:
        import cel
    except ImportError as error:
        say(missing=str(error))
        return
    program = cel.compile(EXPRESSION.replace(" and ", " && ").replace("> 3 ", "> 3.0 "))
    answer(f"cel {version('common-expression-language')}", evaluated(path, program.execute))


if __name__ == "__main__":
    main(sys.argv[1])
