"""Actions that do as they should, fail, and hang."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any, ClassVar

from alerts.support import START_US, delivery
from pydantic import BaseModel, ConfigDict

from guard.alerts.events import about_test, event_of

if TYPE_CHECKING:
    from guard.model import ActionEvent, Delivery


class Plain:
    """Keeps what it was given, and does what a test says."""

    ran: ClassVar[list[tuple[str, int]]] = []
    gate: ClassVar[threading.Event] = threading.Event()

    class Parameters(BaseModel):
        """A number, and what is to happen."""

        model_config = ConfigDict(frozen=True, extra="forbid")

        number: int = 1
        what: str = "answer"

    examples: ClassVar = ({},)

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters

    def run(self, event: ActionEvent) -> Any:  # noqa: ANN401 - some answer with what they may not
        self.ran.append((event.id, self.parameters.number))
        match self.parameters.what:
            case "raise":
                raise ValueError("no such\naccount \x1b[31m")
            case "leave":
                raise SystemExit(3)
            case "late":
                raise TimeoutError
            case "hang":
                self.gate.wait(20)
            case "object":
                return ["not", "text"] * 200
            case "nothing":
                return None
        return f"number {self.parameters.number}"


class Waiting(Plain):
    """The same as a coroutine."""

    async def run(self, event: ActionEvent) -> Any:  # noqa: ANN401 - likewise
        if self.parameters.what == "hang":
            self.ran.append((event.id, self.parameters.number))
            await asyncio.Event().wait()
        if self.parameters.what == "deaf":
            self.gate.wait(20)
        await asyncio.sleep(0)
        return super().run(event)


def call(name: str = "1", *, action: str = "plain", timeout_s: float = 2.0, attempts: int = 0, **arguments: Any) -> Delivery:  # noqa: ANN401 - what a rule may write
    event = {**event_of(about_test("webhook:x", START_US)), "event": "level", "id": f"id-{name}"}
    body = json.dumps({"event": event, "timeout_us": int(timeout_s * 1e6), "arguments": arguments})
    return delivery(name, channel=f"call:{action}", kind="call", body=body, attempts=attempts)
