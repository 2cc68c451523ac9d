"""The examples of docs/http.md: run, and compared with what the page shows.

``python -m cli.http_page`` writes what a guard answers now into the page.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE = Path(__file__).parents[2] / "docs" / "http.md"
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_WIDTH = 900


def examples(text: str) -> list[tuple[str, str]]:
    """Return each command of a page's console blocks with what is shown below it."""
    found = []
    for block in _BLOCK.finditer(text):
        for part in re.split(r"^\$ ", block[1], flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            found.append((command, shown.strip()))
    return found


def masked(text: str) -> str:
    """Return an answer without what differs between two runs."""
    text = re.sub(r"\b[0-9a-f]{12,64}\b", "HEX", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)
    text = re.sub(r'"(data|reason)":"(warming|ok|degraded|)"', r'"\1":"DATA"', text)
    text = re.sub(r'\["(warming|ok|degraded)"', '["DATA"', text)
    return re.sub(r"\d+(\.\d+)?", "N", text)


def answer(command: str, env: Mapping[str, str]) -> str:
    found = subprocess.run(
        ["bash", "-c", command], env={"PATH": "/usr/bin:/bin", **env}, capture_output=True, text=True, check=False
    )
    return found.stdout.strip()


def main() -> None:
    from cli.test_http_run import Served

    served = Served(Path(tempfile.mkdtemp()))
    try:
        text = PAGE.read_text()
        for command, shown in examples(text):
            now = answer(command, served.variables)
            line = f"$ {command}\n"
            text = text.replace(f"{line}{shown}\n" if shown else line, f"{line}{now}\n", 1)
        PAGE.write_text(text)
    finally:
        served.process.terminate()
        served.process.wait(30)


if __name__ == "__main__":
    main()
