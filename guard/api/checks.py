"""``GET /v1/check``: the same answer that a bot on this machine reads from the snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import parse_qsl

import orjson

from guard.api.door import SECURITY, plain
from guard.api.gate import Refused
from guard.client.answer import intent_of
from guard.model import Market

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aiohttp import web

    from guard.client import Guard

__all__ = ["CHECK_KEYS", "Checks", "arguments_of", "json_answer"]

CHECK_KEYS: Final = frozenset({"exchange", "symbol", "market", "side", "intent", "bot"})
_QUESTIONS_MAX: Final = 8_192
_FIELDS_MAX: Final = 16
_TEXT_MAX: Final = 200
_OTHERS: Final = "*"


class _Question(NamedTuple):
    """A query taken apart: `head` is the part of the answer that the query alone decides."""

    client: Guard
    bot: str
    exchange: str
    symbol: str
    side: str | None
    intent: str | None
    head: dict[str, str]


def arguments_of(query: str, known: Iterable[str]) -> dict[str, str]:
    """Return the parameters of a query; each at most once, none unknown. Raises Refused."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=_FIELDS_MAX, errors="strict")
    except ValueError as error:
        raise Refused(plain(400, "the query cannot be read; it is written name=value&name=value")) from error
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refused(plain(400, "a parameter is given twice"))
    strange = sorted(found.keys() - set(known))
    if strange:
        raise Refused(plain(400, f"unknown parameter {strange[0][:40]!r}; known are {', '.join(sorted(known))}"))
    return found


def json_answer(body: bytes, **headers: str) -> web.Response:
    """Return an answer in JSON."""
    from aiohttp import web  # noqa: PLC0415 - loaded already, a name at the head would need it at import

    return web.Response(body=body, content_type="application/json", headers={**SECURITY, **headers})


class Checks:
    """Answers checks over HTTP.

    Parameters
    ----------
    client
        Makes the client of one bot, None for all others: it reads the very file that bots read, heartbeat and lease included.
    bots
        The names in guard.yaml; any other name shares the policy of ``*``.

    Notes
    -----
    Questions repeat: the last 8,192 are kept taken apart. `counts` tells by bot and status what was answered.
    """

    def __init__(self, client: Callable[[str | None], Guard], bots: Iterable[str]) -> None:
        self._clients = {name: client(name) for name in bots if name != _OTHERS}
        self._others = client(None)
        self._questions: dict[str, _Question] = {}
        self.counts: dict[tuple[str, ...], float] = {}

    @property
    def is_bypassed(self) -> bool:
        """Whether everything is permitted now."""
        return self._others.bypass is not None

    def answer(self, query: str) -> bytes:
        """Return the answer to a query as JSON. Raises Refused for a query that asks nothing."""
        question = self._questions.get(query)
        if question is None:
            question = _question(query, self._clients, self._others)
            if len(self._questions) >= _QUESTIONS_MAX:
                self._questions.clear()
            self._questions[query] = question
        client = question.client
        clearance = client.check(question.exchange, question.symbol, question.side, question.intent)
        key = (question.bot, clearance.status)
        self.counts[key] = self.counts.get(key, 0) + 1
        found: dict[str, Any] = {**question.head, **clearance._asdict()}
        if clearance.reason == "guard_silent":
            found["problem"] = client.problem
        return orjson.dumps(found)


def _question(query: str, clients: dict[str, Guard], others: Guard) -> _Question:
    given = arguments_of(query, CHECK_KEYS)
    if any(len(text) > _TEXT_MAX or not text.isprintable() for text in given.values()):
        raise Refused(plain(400, f"a parameter is text of at most {_TEXT_MAX} characters"))
    try:
        market = Market.parse(given["market"]) if "market" in given else Market.parse(f"{given['exchange']}:{given['symbol']}")
        side, intent = given.get("side") or None, given.get("intent") or None
        meant = intent_of(market.symbol, side, intent)
    except KeyError as error:
        raise Refused(plain(400, f"the parameter {error.args[0]} is missing; give exchange and symbol, or market")) from error
    except ValueError as error:
        raise Refused(plain(400, str(error)[:_TEXT_MAX])) from error
    if side not in {None, "buy", "sell"}:
        raise Refused(plain(400, "side is buy or sell"))
    bot = given.get("bot", "")
    client = clients.get(bot, others)
    name = bot if bot in clients else _OTHERS
    return _Question(client, name, market.exchange, market.symbol, side, intent, {"market": str(market), "intent": str(meant)})
