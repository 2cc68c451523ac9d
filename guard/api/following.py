"""The other end of the stream: from bytes to a state that is proved equal to guard's, or nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard.api.blocklist import changed, content_digest
from guard.client.layout import READABLE_VERSIONS
from guard.errors import Disconnected

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Beat", "Event", "Events", "Followed", "OutOfStep"]

_EVENT_BYTES_MAX: Final = 64 * 1024 * 1024
_BEAT_WORDS: Final = 6


class OutOfStep(Disconnected):
    """What was read does not make the state that guard has; all must be read anew."""


class Event(NamedTuple):
    """One event of the stream, or, with kind ``comment``, one comment."""

    kind: str
    id: str
    data: str


class Beat(NamedTuple):
    """Guard lived: its clocks at that moment, which state it had, and how old its own proof of life was."""

    monotonic_us: int
    wall_us: int
    step: int
    digest: str
    silent_us: int


class Events:
    r"""Splits a stream of bytes into events.

    Examples
    --------
    >>> list(Events().feed(b": beat 1\n\nevent: state\nid: 1.2.3\ndata: {}\n\n"))
    [Event(kind='comment', id='', data='beat 1'), Event(kind='state', id='1.2.3', data='{}')]
    """

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[Event]:
        """Take bytes and yield what they complete. Raises OutOfStep for an event larger than any snapshot."""
        searched = max(0, len(self._rest) - 1)
        self._rest += data
        end = self._rest.find(b"\n\n", searched)
        while end >= 0:
            block = bytes(self._rest[:end])
            del self._rest[: end + 2]
            yield from _events(block)
            end = self._rest.find(b"\n\n")
        if len(self._rest) > _EVENT_BYTES_MAX:
            raise OutOfStep("an event of the stream has no end")


class Followed:
    """The state of a guard elsewhere.

    Raises OutOfStep where what comes in does not make the state whose digest comes with it.
    """

    def __init__(self) -> None:
        self.content: Mapping[str, Any] | None = None
        self.epoch = self.seq = self.step = 0
        self.digest = ""
        self.id = ""

    def take(self, event: Event) -> bool:
        """Take an event and return whether the state is another one now."""
        if event.kind == "resync":
            raise OutOfStep("guard cut the stream: it was not read fast enough, or the token changed")
        if event.kind not in {"state", "change"}:
            return False
        try:
            document = json.loads(event.data)
            step = int(event.id.split(".")[2])
            content = _whole(document) if event.kind == "state" else self._changed(document, step)
            digest = content_digest(content)
            is_true = digest == document["digest"] and (content["epoch"], content["seq"]) == (document["epoch"], document["seq"])
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
            raise OutOfStep(f"an event of the stream cannot be read ({type(error).__name__})") from error
        if not is_true:
            raise OutOfStep(f"entry {document['seq']}: what was read is not what guard has")
        self.content, self.digest = content, digest
        self.epoch, self.seq, self.step, self.id = content["epoch"], content["seq"], step, event.id
        return True

    def beat(self, event: Event) -> Beat | None:
        """Return the beat that a comment is, None for another comment. Raises OutOfStep where it vouches for another state."""
        words = event.data.split()
        if event.kind != "comment" or len(words) < _BEAT_WORDS or words[0] != "beat":
            return None
        try:
            beat = Beat(int(words[1]), int(words[2]), int(words[3]), words[4], int(words[5]))
        except ValueError as error:
            raise OutOfStep("a beat of the stream cannot be read") from error
        if not self.digest or not beat.digest or not self.digest.startswith(beat.digest) or beat.step != self.step:
            raise OutOfStep("guard has another state than what was read")
        return beat

    def _changed(self, document: Mapping[str, Any], step: int) -> Mapping[str, Any]:
        if self.content is None or step != self.step + 1:
            raise OutOfStep(f"event {step} does not follow event {self.step}")
        return changed(self.content, document)


def _whole(document: Mapping[str, Any]) -> Mapping[str, Any]:
    if document["layout"] not in READABLE_VERSIONS:
        raise OutOfStep(f"guard publishes layout {document['layout']}, this agent reads {sorted(READABLE_VERSIONS)}; update it")
    content: Mapping[str, Any] = document["content"]
    return content


def _events(block: bytes) -> Iterator[Event]:
    kind, identity, data = "message", "", []
    for line in block.decode("utf-8", "replace").split("\n"):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not name and line:
            yield Event("comment", "", value)
        elif name == "event":
            kind = value
        elif name == "id":
            identity = value
        elif name == "data":
            data.append(value)
    if data:
        yield Event(kind, identity, "\n".join(data))
