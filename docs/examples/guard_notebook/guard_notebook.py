"""An action for guard: one line in a file for each event, once, however often guard has to try."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from guard.model import ActionEvent


class Append:
    """Write `market level score` at the end of a file.

    `folder` is where the file lies; `name` is the file, made where it is not there; `style` is how a line looks.
    """

    class Parameters(BaseModel):
        """What a rule hands over as ``args``."""

        model_config = ConfigDict(frozen=True, extra="forbid")

        folder: Path
        name: str = "guard.txt"
        style: Literal["short", "long"] = "short"

    examples: ClassVar = ({"folder": "."}, {"folder": "notes", "name": "pump.txt", "style": "long"})

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters

    def run(self, event: ActionEvent) -> str:
        """Append a line; guard delivers at least once, so an event that the file has is passed over."""
        path = self.parameters.folder / self.parameters.name
        if path.exists() and f"[{event.id}]" in path.read_text(encoding="utf-8"):
            return f"{path.name} has it already"
        score = "unknown" if event.score is None else f"{event.score:.2f}"
        line = f"{event.market} {event.level} {score} [{event.id}]"
        if self.parameters.style == "long":
            line = f"{event.at} {event.rule} {line} {', '.join(f'{name} {value}' for name, value in event.factors.items())}"
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
        return f"line in {path.name}"
