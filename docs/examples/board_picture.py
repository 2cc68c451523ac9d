"""Draw the board of a running guard as a picture.

guard --json status | python docs/examples/board_picture.py > board.svg
"""

import io
import json
import re
import sys

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

from guard.cli.board import board_view

WIDTH = 134

console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
console.print(board_view(json.load(sys.stdin), width=WIDTH, rows_max=12))
# No fonts from elsewhere: the picture is the same without a network.
plain = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace("Fira Code", "DejaVu Sans Mono")
sys.stdout.write(console.export_svg(title="guard run", code_format=plain))
