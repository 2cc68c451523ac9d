"""The same targets led by coverage, where Atheris is installed: ``PYTHONPATH=tests python -m fuzz.guided pack -max_total_time=60``.

Atheris is no dependency of the project; ``pip install --target FOLDER atheris`` and ``PYTHONPATH=tests:FOLDER`` will do.
What follows the target goes to libFuzzer. Time is not judged here: counting branches makes everything many times slower.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

__all__ = ["main"]


def main(words: list[str]) -> int:
    """Run one target until libFuzzer ends or something is found."""
    try:
        import atheris  # type: ignore[import-not-found] # optional
    except ImportError:
        print("Atheris is not installed; make fuzz runs without it", file=sys.stderr)
        return 2
    with atheris.instrument_imports(include=["guard.dsl"]):
        from fuzz.targets import TARGETS
    target = TARGETS[words[0]]
    with TemporaryDirectory(prefix="guard-fuzz-") as folder:
        for number, text in enumerate(target.seeds()):
            (Path(folder) / str(number)).write_bytes(text.encode("utf-8", "surrogatepass"))
        atheris.Setup([sys.argv[0], folder, *words[1:]], lambda data: target.run(data.decode("utf-8", "replace")))
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
