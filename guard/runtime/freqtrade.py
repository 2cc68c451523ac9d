"""What a Freqtrade bot trades: its configuration file and the whitelist of its REST interface."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import aiohttp

from guard.errors import GuardError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["BotConfig", "PairPatterns", "call_bot", "fetch_whitelist", "read_config", "read_json", "without_comments"]

_BYTES_MAX: Final = 4 << 20
_DEPTH_MAX: Final = 5
_PAIRS_MAX: Final = 10_000
_PAIR_MAX: Final = 200
_TIMEOUT_S: Final = 10.0
_STRING = r'"(?:[^"\\]|\\.)*"'
_COMMENT = re.compile(rf"{_STRING}|//[^\n]*|/\*.*?\*/", re.DOTALL)
_TRAILING_COMMA = re.compile(rf"{_STRING}|,(\s*[\]}}])", re.DOTALL)
_PLAIN = re.compile(r"[\w./:-]+")
# What may take very long to match: a repeated group, or many repetitions.
_REPEATED_GROUP = re.compile(r"\)\s*[*+{?]")
_REPETITION = re.compile(r"(?<!\\)[*+{]")
_REPETITIONS_MAX = 4


class BotConfig(NamedTuple):
    """What a configuration says: exchange, whitelist, blacklist, stake, and whether pairs are chosen as it runs.

    `files` are all that were read.
    """

    exchange: str
    whitelist: tuple[str, ...]
    blacklist: tuple[str, ...]
    stake: str
    pairlist: str
    files: tuple[Path, ...]

    @property
    def is_static(self) -> bool:
        """Whether the whitelist is all there is to know."""
        return self.pairlist == "StaticPairList"


class PairPatterns:
    """Whitelist and blacklist of a bot: entries are regular expressions over whole symbols, small and capital letters alike.

    Notes
    -----
    An entry that is no regular expression, or whose match could take very long, counts as a symbol, and stands in `odd`.

    Examples
    --------
    >>> pairs = PairPatterns(["BTC/USDT", ".*/EUR"], ["(XRP|DOGE)/.*"])
    >>> sorted(pairs.among(["BTC/USDT", "ETH/USDT", "ETH/EUR", "XRP/EUR"]))
    ['BTC/USDT', 'ETH/EUR']
    """

    def __init__(self, whitelist: Iterable[str], blacklist: Iterable[str] = ()) -> None:
        self.odd: list[str] = []
        self._names, self._patterns = self._split(whitelist)
        self._no_names, self._no_patterns = self._split(blacklist)

    @property
    def names(self) -> frozenset[str]:
        """The symbols that are written out, in capitals."""
        return self._names - self._no_names

    def among(self, symbols: Iterable[str]) -> frozenset[str]:
        """Return which of some symbols the bot may trade."""
        return frozenset(symbol for symbol in symbols if self._is_in(symbol))

    def _is_in(self, symbol: str) -> bool:
        if symbol.upper() in self._no_names or any(pattern.fullmatch(symbol) for pattern in self._no_patterns):
            return False
        return symbol.upper() in self._names or any(pattern.fullmatch(symbol) for pattern in self._patterns)

    def _split(self, entries: Iterable[str]) -> tuple[frozenset[str], list[re.Pattern[str]]]:
        names, patterns = set[str](), list[re.Pattern[str]]()
        for entry in entries:
            if _PLAIN.fullmatch(entry) and "*" not in entry:
                names.add(entry.upper())
                if "." not in entry:
                    continue
            try:
                if len(_REPETITION.findall(entry)) > _REPETITIONS_MAX or _REPEATED_GROUP.search(entry):
                    raise re.error("too long")  # noqa: TRY301 - treated alike
                patterns.append(re.compile(entry, re.IGNORECASE))
            except re.error:
                self.odd.append(entry)
                names.add(entry.upper())
        return frozenset(names), patterns


def read_config(path: Path) -> BotConfig:
    """Read a configuration with all that its add_config_files name. Raises GuardError."""
    files: list[Path] = []
    try:
        document = _merged(path, files, 1)
        section = document.get("exchange") or {}
        handlers = document.get("pairlists") or [{"method": "StaticPairList"}]
        return BotConfig(
            exchange=str(section.get("name") or ""),
            whitelist=_pairs(section.get("pair_whitelist")),
            blacklist=_pairs(section.get("pair_blacklist")),
            stake=str(document.get("stake_currency") or ""),
            pairlist=str(handlers[0].get("method")),
            files=tuple(files),
        )
    except (AttributeError, TypeError, KeyError, IndexError) as error:
        raise GuardError(f"{path} is no Freqtrade configuration: {error!r}") from error


def read_json(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    """Read a file as Freqtrade does: JSON with comments and trailing commas. Raises GuardError."""
    try:
        with path.open("rb") as file:
            raw = file.read(_BYTES_MAX + 1)
        if len(raw) > _BYTES_MAX:
            raise GuardError(f"{path} is larger than {_BYTES_MAX >> 20} MiB")
        return json.loads(without_comments(raw.decode("utf-8")))
    except OSError as error:
        raise GuardError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise GuardError(f"{path} is no JSON: {error}") from error


def without_comments(text: str) -> str:
    """Return the JSON of a text with ``//`` and ``/* */`` comments and trailing commas, as Freqtrade reads it."""
    without = _COMMENT.sub(lambda found: found[0] if found[0].startswith('"') else " ", text)
    return _TRAILING_COMMA.sub(lambda found: found[0] if found[0].startswith('"') else found[1], without)


def _merged(path: Path, files: list[Path], depth: int) -> dict[str, Any]:
    if depth > _DEPTH_MAX:
        raise GuardError(f"{path}: add_config_files are nested deeper than {_DEPTH_MAX}")
    document = read_json(path)
    if not isinstance(document, dict):
        raise GuardError(f"{path} is no Freqtrade configuration: it holds no keys")
    files.append(path)
    below: dict[str, Any] = {}
    for name in document.get("add_config_files") or ():
        below = _over(_merged(path.parent / str(name), files, depth + 1), below)
    return _over(document, below)


def _over(top: Mapping[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    """Return `below` with what `top` says."""
    found = dict(below)
    for key, value in top.items():
        before = found.get(key)
        found[key] = _over(value, before) if isinstance(value, dict) and isinstance(before, dict) else value
    return found


def _pairs(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise TypeError("a list of pairs is no list")
    return tuple(pair for pair in value[:_PAIRS_MAX] if isinstance(pair, str) and 0 < len(pair) <= _PAIR_MAX)


async def fetch_whitelist(
    url: str, *, user: str | None = None, password: str | None = None, token: str | None = None
) -> tuple[str, ...]:
    """Return what the bot's REST interface calls its whitelist now; pairs of open trades are in it. Raises GuardError.

    No message holds a credential. Whatever is no list of pairs is an error, so that an answer of something else is never taken for
    a bot that trades nothing.
    """
    document = await call_bot("GET", url, "whitelist", user=user, password=password, token=token)
    pairs = document.get("whitelist") if isinstance(document, dict) else None
    if not isinstance(pairs, list) or not all(isinstance(pair, str) for pair in pairs):
        raise GuardError(f"{_where(url, 'whitelist')} answers no whitelist; is it Freqtrade's interface?")
    return _pairs(pairs)


async def call_bot(
    method: str,
    url: str,
    path: str,
    *,
    user: str | None = None,
    password: str | None = None,
    token: str | None = None,
    body: Any = None,  # noqa: ANN401 - whatever the interface takes
) -> Any:  # noqa: ANN401 - whatever it answers
    """Return what the bot's REST interface answers, as JSON. Raises GuardError; no message holds a credential."""
    where = _where(url, path)
    headers = {"Accept": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    elif user is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password or ''}".encode()).decode()
    try:
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, where, headers=headers, json=body, allow_redirects=False) as answer,
        ):
            if answer.status in {401, 403}:
                raise GuardError(f"{where} refuses the credentials (HTTP {answer.status})")
            if answer.status != 200:  # noqa: PLR2004 - the one status with an answer
                raise GuardError(f"{where} answers HTTP {answer.status}")
            return json.loads(await _body(answer, where))
    except TimeoutError as error:
        raise GuardError(f"{where} does not answer within {_TIMEOUT_S:g} s") from error
    except (aiohttp.ClientError, OSError) as error:
        raise GuardError(f"{where} cannot be reached: {type(error).__name__}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise GuardError(f"{where} answers no JSON") from error


def _where(url: str, path: str) -> str:
    return f"{url.rstrip('/')}/api/v1/{path}"


async def _body(answer: aiohttp.ClientResponse, where: str) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > _BYTES_MAX:
            raise GuardError(f"{where} answers more than {_BYTES_MAX >> 20} MiB")
    return bytes(body)
