"""From the bytes of a list to its entries; pure. What is not understood is named, never guessed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard.errors import GuardError
from guard.model import Block, IsolationState, ListedTarget, Market, Target, TargetKind
from guard.runtime.freqtrade import without_comments
from guard.runtime.pair_patterns import expanded, pair_patterns

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from guard.dsl.list_models import ListSettings

__all__ = ["ListUnreadable", "Reading", "read_list"]

_NAME_MAX: Final = 64
_REASON_MAX: Final = 200
# Letters of all scripts are in symbols; these are in none, and in pages and programs.
_NO_NAME: Final = frozenset(" <>\"'`{}[]()|\\^;,&=?*%#@!~")
_STALE_US: Final = 60_000_000


class ListUnreadable(GuardError):
    """A list could not be read, or is no list of its format; the text says why."""


class Reading(NamedTuple):
    """What a list says: its entries, rows that could not be understood, and rows that are refused or concern nobody here.

    `bad` makes the reading doubtful: what it does not name may be among those rows. `passed_over` does not.
    """

    entries: tuple[ListedTarget, ...]
    bad: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()


def read_list(
    raw: bytes, settings: ListSettings, *, now_us: int, symbols: Collection[str] = (), exchanges: Collection[str] = ()
) -> Reading:
    """Return what a list says.

    `symbols` are those of the watched markets, which patterns are held against; `exchanges` those of guard.yaml: what names another
    is passed over. Raises ListUnreadable where it is not of its format, has too many rows, or less than half of it is understood.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ListUnreadable(f"it is no text in UTF-8: {error.reason} at byte {error.start}") from error
    rows = _Rows(settings, exchanges)
    match settings.format:
        case "lines":
            for line in text.splitlines():
                words, _, reason = line.partition("#")
                if words.strip():
                    rows.add(words.strip(), lambda word: [rows.target(word)], reason=reason.strip())
        case "json":
            for row in _array(_json(text), "pairs"):
                rows.add(row, lambda word: [rows.target(word)])
        case "freqtrade":
            for row in _array(_blacklist(_json(without_comments(text))), "pair_blacklist"):
                rows.add_pattern(row, symbols)
        case _:
            _add_blocks(rows, _json(text), now_us)
    return rows.reading()


class _Rows:
    """Entries as they are found, one for each target."""

    def __init__(self, settings: ListSettings, exchanges: Collection[str]) -> None:
        self._settings = settings
        self._exchanges = exchanges
        self._entries: dict[Target, ListedTarget] = {}
        self._bad: list[str] = []
        self._passed: list[str] = []

    def add(self, row: object, targets: Callable[[str], Iterable[Target]], *, reason: str = "") -> None:
        """Take one row."""
        try:
            if not isinstance(row, str):
                raise ValueError(f"expected a text, found {row!r:.60}")  # noqa: TRY004, TRY301 - a row like any other bad one
            for target in targets(row):
                self.enter(target, Block(self._settings.block), self._settings.max_fraction, reason)
        except ValueError as error:
            self._bad.append(str(error))

    def add_pattern(self, row: object, symbols: Collection[str]) -> None:
        """Take one row of a pair_blacklist."""
        if not isinstance(row, str):
            self._bad.append(f"expected a text, found {row!r:.60}")
            return
        try:
            patterns = pair_patterns(row)
        except ValueError as error:
            # What is refused today is refused tomorrow: it makes no reading doubtful.
            self.pass_over(str(error))
            return
        wide = [pattern for pattern in patterns if pattern.target is None]
        names = [pattern.target for pattern in patterns if pattern.target is not None]
        names += [Target(TargetKind.SYMBOL, symbol) for symbol in expanded(wide, symbols)]
        for target in names:
            self.add(target.name, lambda _, target=target: [self._placed(target)])  # type: ignore[misc]

    def enter(self, target: Target, block: Block, max_fraction: float, reason: str) -> None:
        """Take one entry; the stronger block of two counts."""
        exchange = {TargetKind.EXCHANGE: target.name, TargetKind.MARKET: target.name.partition(":")[0]}.get(target.kind)
        if exchange is not None and exchange not in self._exchanges:
            self.pass_over(f"{target}: guard.yaml has no exchange {exchange!r:.70}")
            return
        before = self._entries.get(target)
        if before is None or (before.block is Block.SHRINK and block is Block.ENTRIES):
            self._entries[target] = ListedTarget(target, block, max_fraction, _clean(reason))
        if len(self._entries) > self._settings.max_rows:
            raise ListUnreadable(f"it has more than {self._settings.max_rows} entries (max_rows)")

    def pass_over(self, why: str) -> None:
        """Note a row that is left out on purpose."""
        self._passed.append(why)

    def doubt(self, why: str) -> None:
        """Note a row that was not understood."""
        self._bad.append(why)

    def target(self, word: str) -> Target:
        """Read a target: exchange:SYMBOL, SYMBOL, base:ASSET, symbol:SYMBOL or exchange:NAME. Raises ValueError."""
        kind, colon, name = word.partition(":")
        if colon and kind in set(TargetKind) and kind != TargetKind.MARKET:
            return Target(TargetKind(kind), _name(name, word))
        if "/" not in word:
            raise ValueError(f"{word!r:.60} is no symbol, and no base:ASSET")
        if colon and "/" not in kind:
            return Target(TargetKind.MARKET, str(Market.parse(_name(word, word))))
        base, _, quote = word.partition("/")
        if not base or not quote:
            raise ValueError(f"{word!r:.60} is no symbol: BASE/QUOTE")
        return self._placed(Target(TargetKind.SYMBOL, _name(word, word)))

    def _placed(self, target: Target) -> Target:
        exchange = self._settings.exchange
        if exchange is None or target.kind is not TargetKind.SYMBOL:
            return target
        return Target(TargetKind.MARKET, f"{exchange}:{target.name}")

    def reading(self) -> Reading:
        """Return what was found. Raises ListUnreadable where that is less than was not understood."""
        if len(self._bad) > len(self._entries) + len(self._passed):
            raise ListUnreadable(f"{len(self._bad)} rows are not understood, the first: {self._bad[0]}")
        return Reading(tuple(self._entries.values()), tuple(self._bad), tuple(self._passed))


def _add_blocks(rows: _Rows, document: Any, now_us: int) -> None:  # noqa: ANN401 - whatever the other side sent
    """Take the blocks of another guard."""
    if not isinstance(document, dict) or not isinstance(document.get("blocks"), list) or "epoch" not in document:
        raise ListUnreadable("it is no blocklist of a guard: blocks and epoch are missing")
    if document.get("running") is False:
        raise ListUnreadable("the other guard was stopped")
    wall_us = document.get("wall_us")
    if isinstance(wall_us, int) and now_us - wall_us > _STALE_US:
        raise ListUnreadable(f"the other guard published it {(now_us - wall_us) / 1e6:.0f} s ago; is it alive?")
    for block in document["blocks"]:
        try:
            _add_block(rows, block, now_us)
        except (KeyError, TypeError, ValueError) as error:
            rows.doubt(f"a block is not understood: {error!r:.100}")


def _add_block(rows: _Rows, block: Mapping[str, Any], now_us: int) -> None:
    settings = rows._settings  # noqa: SLF001 - of this module
    rule = str(block["rule"])
    if rule.startswith("list:"):
        # Two guards that read each other would keep each other's entries for ever.
        rows.pass_over(f"{block['target']!r:.80}: it comes of a list there")
        return
    if int(block["until_us"]) <= now_us or IsolationState(block["state"]) is IsolationState.NORMAL:
        return
    target = Target(TargetKind(block["kind"]), _name(str(block["name"]), str(block["name"])))
    kind = Block.SHRINK if Block(settings.block) is Block.SHRINK else Block(block["block"])
    rows.enter(target, kind, min(1.0, max(0.0, float(block["max_fraction"]))), f"{rule}: {block['reason']}")


def _json(text: str) -> Any:  # noqa: ANN401 - whatever the other side sent
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ListUnreadable(f"it is no JSON: {error!s:.100}") from error


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _array(document: Any, key: str) -> list[Any]:  # noqa: ANN401 - as above
    rows = document.get(key) if isinstance(document, dict) else document
    if not isinstance(rows, list):
        raise ListUnreadable(f"it is neither an array nor an object with {key!r}")
    return rows


def _blacklist(document: Any) -> Any:  # noqa: ANN401 - as above
    """Return the pair_blacklist of a whole configuration, or the document itself."""
    exchange = document.get("exchange") if isinstance(document, dict) else None
    return exchange if isinstance(exchange, dict) else document


def _name(name: str, word: str) -> str:
    if not name or len(name) > _NAME_MAX or not name.isprintable() or not _NO_NAME.isdisjoint(name):
        raise ValueError(f"{word!r:.80} names no market, symbol, asset or exchange")
    return name


def _clean(reason: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in reason)[:_REASON_MAX]
