"""The blocklist as the network sees it: the published state without what changes by itself, with a digest that proves equality."""

from __future__ import annotations

import json
from collections import OrderedDict
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from guard.client.layout import VERSION
from guard.client.payload import snapshot_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.client.payload import Snapshot

__all__ = ["BlockChanges", "Blocklist", "Listed", "Published", "blocks_digest", "change", "changed", "content_digest"]

# What differs between two publications of the same state; the scores of markets do, too, and no answer depends on them.
# A bypass is the business of guard's own machine, whose owner ordered it.
_MOMENTS: Final = frozenset({"at_us", "wall_us", "boot_ns", "boot_id", "bypass"})
_SCORE: Final = 2
_SEQUENCES_MAX: Final = 64
_BLOCKS_KEPT_MAX: Final = 50_000
_NEVER_US: Final = 1 << 52


class Published(Protocol):
    """What wrote the snapshot that bots read."""

    @property
    def said(self) -> Mapping[str, Any]:
        """What was published last, as `guard.client.payload.document` makes it; empty where nothing was."""
        ...

    @property
    def generation(self) -> int:
        """How often was published."""
        ...

    @property
    def silent_us(self) -> int | None:
        """How long ago guard last proved to live; None where it did not yet."""
        ...

    @property
    def lease_us(self) -> int:
        """How long such a proof is good for."""
        ...


class Listed(NamedTuple):
    """One state: `content` is what `digest` is made of, `text` its JSON; `blocks` by their ids."""

    generation: int
    epoch: int
    seq: int
    digest: str
    content: Mapping[str, Any]
    text: bytes
    blocks: Mapping[str, Mapping[str, Any]]
    said: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The state's ETag."""
        return f'W/"{self.epoch}.{self.seq}.{self.digest[:32]}"'

    def snapshot(self) -> Snapshot:
        """Return the state as bots read it."""
        # The moments of the newest publication; all else as it goes over the network.
        return snapshot_of({**self.said, **self.content})

    def document(self, *, now_us: int, lease_until_us: int) -> bytes:
        """Return the whole list as JSON, at a moment (wall time) and with the end of guard's lease."""
        head = {
            "schema": 1,
            "layout": VERSION,
            "digest": self.digest,
            "blocks_digest": blocks_digest(self.blocks),
            "count": len(self.blocks),
            "now_us": now_us,
            "lease_until_us": lease_until_us,
            "full": True,
        }
        return b"%b,%b" % (_dump(head)[:-1], self.text[1:])


class BlockChanges(NamedTuple):
    """What `since` a sequence number was added, changed or ended."""

    new: list[Mapping[str, Any]]
    gone: list[str]


def content_digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a state: of its JSON with sorted keys, no blanks, ASCII only."""
    return sha256(_dump(content)).hexdigest()


def blocks_digest(blocks: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the SHA-256 of the blocks alone, easy to make in any language.

    Of one line for each, in the order of their ids: ``id|kind|name|state|block|until_us`` and a line feed, UTF-8.
    """
    lines = "".join(
        f"{each['id']}|{each['kind']}|{each['name']}|{each['state']}|{each['block']}|{each['until_us']}\n"
        for _, each in sorted(blocks.items())
    )
    return sha256(lines.encode("utf-8", "surrogatepass")).hexdigest()


def change(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return what makes the content `old` into `new`: `set` and `unset` keys, and markets and blocks one by one."""
    markets, before = new["markets"], old["markets"]
    blocks, had = _by_id(new["blocks"]), _by_id(old["blocks"])
    return {
        "markets": {name: view for name, view in markets.items() if before.get(name) != view},
        "markets_gone": [name for name in before if name not in markets],
        "blocks": [each for name, each in blocks.items() if had.get(name) != each],
        "blocks_gone": [name for name in had if name not in blocks],
        "set": {key: value for key, value in new.items() if key not in {"markets", "blocks"} and old.get(key, _NONE) != value},
        "unset": [key for key in old if key not in new],
    }


def changed(old: Mapping[str, Any], difference: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content that `change` of it described. Raises KeyError and TypeError for what is no difference."""
    gone = set(difference["markets_gone"])
    markets = {name: view for name, view in old["markets"].items() if name not in gone} | difference["markets"]
    ended = set(difference["blocks_gone"])
    blocks = {name: each for name, each in _by_id(old["blocks"]).items() if name not in ended} | _by_id(difference["blocks"])
    unset = set(difference["unset"])
    kept = {key: value for key, value in old.items() if key not in unset}
    return {**kept, **difference["set"], "markets": markets, "blocks": _sorted(blocks)}


_NONE: Final = object()


class Blocklist:
    """The newest published state, made ready for the network once a publication and only when somebody asks.

    Parameters
    ----------
    published
        What wrote the snapshot.

    Notes
    -----
    The blocks of the last 64 sequence numbers that were asked for are kept, to tell what changed since.
    """

    def __init__(self, published: Published) -> None:
        self._published = published
        self._listed: Listed | None = None
        self._kept: OrderedDict[int, Mapping[str, Mapping[str, Any]] | None] = OrderedDict()

    @property
    def is_fresh(self) -> bool:
        """Whether guard proved to live within its lease: an older list must not be handed out."""
        return self.silent_us <= self._published.lease_us

    @property
    def silent_us(self) -> int:
        """How long ago guard last proved to live; as good as for ever where it never did."""
        silent_us = self._published.silent_us
        return _NEVER_US if silent_us is None else silent_us

    @property
    def left_us(self) -> int:
        """How long the list is good for from now on, if guard does not prove to live again."""
        return max(0, self._published.lease_us - self.silent_us)

    def current(self) -> Listed | None:
        """Return the newest state, None where nothing was published yet."""
        generation = self._published.generation
        if self._listed is not None and self._listed.generation == generation:
            return self._listed
        if not self._published.said:
            return None
        self._listed = _listed(self._published.said, generation, self._listed)
        self._keep(self._listed)
        return self._listed

    def since(self, listed: Listed, seq: int) -> BlockChanges | None:
        """Return what changed in the blocks since `seq` of this epoch, None where that is not known: then all must be read."""
        old = self._kept.get(seq)
        if old is None:
            return None
        return BlockChanges(
            [each for name, each in listed.blocks.items() if old.get(name) != each],
            [name for name in old if name not in listed.blocks],
        )

    def _keep(self, listed: Listed) -> None:
        kept = self._kept.get(listed.seq, listed.blocks)
        # Blocks that are not durable change without a sequence number: nobody knows then which of the two a client has.
        self._kept[listed.seq] = listed.blocks if kept == listed.blocks else None
        self._kept.move_to_end(listed.seq)
        while len(self._kept) > 1 and (len(self._kept) > _SEQUENCES_MAX or len(self._kept) * len(listed.blocks) > _BLOCKS_KEPT_MAX):
            self._kept.popitem(last=False)


def _listed(said: Mapping[str, Any], generation: int, last: Listed | None) -> Listed:
    markets = {name: [*view[:_SCORE], None, *view[_SCORE + 1 :]] for name, view in said["markets"].items()}
    kept = {**{key: value for key, value in said.items() if key not in _MOMENTS}, "markets": markets}
    # What goes through JSON is what every reader has: tuples are lists, numbers are as they are written.
    content = json.loads(json.dumps(kept, allow_nan=False))
    blocks = _by_id(content["blocks"])
    content["blocks"] = _sorted(blocks)
    if last is not None and last.content == content:
        return last._replace(generation=generation, said=said)
    text = _dump(content)
    return Listed(generation, content["epoch"], content["seq"], sha256(text).hexdigest(), content, text, blocks, said)


def _by_id(blocks: list[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {each["id"]: each for each in blocks}


def _sorted(blocks: Mapping[str, Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [each for _, each in sorted(blocks.items())]


def _dump(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
