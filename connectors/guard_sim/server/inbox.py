"""A listener for Apprise's json:// posts, so that a first run shows its alerts without any account."""

from __future__ import annotations

from collections import deque
from html import escape
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from guard_sim.server.rest import json_response

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Inbox"]

_KEPT = 200
_BODY_MAX = 8 << 20
_TEXT_MAX = 8000
_FAIL_MAX_S = 3600.0
_SERVER_ERRORS = range(400, 600)
_PAGE = """<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="2"><title>guard: inbox</title>
<style>body{{font:15px/1.45 system-ui;max-width:46rem;margin:2rem auto;color:#222}}article{{border-left:4px solid #bbb;
padding:.2rem 1rem;margin:1rem 0;white-space:pre-wrap;overflow-wrap:anywhere}}.warning{{border-color:#e69f00}}
.failure{{border-color:#d55e00}}.success{{border-color:#009e73}}.info{{border-color:#0072b2}}small{{color:#666}}</style>
<h1>Inbox</h1><p>{count} messages; the newest first.</p>{articles}
"""
_ARTICLE = '<article class="{kind}"><b>{title}</b> <small>{at_s:.3f} {path}</small>\n{text}{files}</article>'


class Inbox:
    """Keeps the last 200 messages; texts only, attachments by name and size.

    ``GET /`` is a page, ``GET /messages`` JSON, ``POST /control/fail {status, for_s}`` makes every post fail for a while; any
    other POST is a message.
    """

    def __init__(self, now_us: Callable[[], int]) -> None:
        self._now_us = now_us
        self._failing: tuple[int, int] = (0, 0)
        self._number = 0
        self.messages: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self.refused = 0

    def app(self) -> web.Application:
        """Return the application that serves it."""
        app = web.Application(client_max_size=_BODY_MAX)
        app.add_routes(
            [
                web.get("/", self._page),
                web.get("/messages", self._listed),
                web.post("/control/fail", self._fail),
                web.post("/{path:.*}", self._receive),
            ]
        )
        return app

    async def _page(self, request: web.Request) -> web.Response:
        del request
        articles = "\n".join(_article(message) for message in reversed(self.messages))
        text = _PAGE.format(count=self._number, articles=articles)
        policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return web.Response(text=text, content_type="text/html", headers=policy)

    async def _listed(self, request: web.Request) -> web.Response:
        del request
        return json_response({"received": self._number, "refused": self.refused, "messages": list(self.messages)})

    async def _receive(self, request: web.Request) -> web.Response:
        status, until_us = self._failing
        if self._now_us() < until_us:
            self.refused += 1
            return json_response({"error": f"told to answer {status}"}, status=status)
        try:
            document = orjson.loads(await request.read())
        except ValueError:
            return json_response({"error": "the body is not JSON"}, status=400)
        if not isinstance(document, dict):
            return json_response({"error": "the body is not an object"}, status=400)
        self._number += 1
        self.messages.append(
            {
                "number": self._number,
                "at_us": self._now_us(),
                "path": request.path[:100],
                "title": _text(document.get("title")),
                "message": _text(document.get("message")),
                "type": _text(document.get("type")) or "info",
                "attachments": [_attachment(each) for each in _listing(document.get("attachments"))],
            }
        )
        return json_response({"number": self._number})

    async def _fail(self, request: web.Request) -> web.Response:
        try:
            order = orjson.loads(await request.read())
            status, for_s = int(order["status"]), float(order["for_s"])
        except (ValueError, TypeError, KeyError):
            return json_response({"error": "give {status, for_s}"}, status=400)
        if status not in _SERVER_ERRORS or not 0.0 <= for_s <= _FAIL_MAX_S:
            return json_response({"error": "status must be 400 to 599, for_s 0 to 3600"}, status=400)
        self._failing = (status, self._now_us() + int(for_s * 1e6))
        return json_response({"failing_until_us": self._failing[1]})


def _text(value: object) -> str:
    return "" if value is None else str(value)[:_TEXT_MAX]


def _listing(value: object) -> list[object]:
    return value[:10] if isinstance(value, list) else []


def _attachment(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {"name": "", "size": 0}
    # base64 has four characters for three bytes.
    return {"name": _text(value.get("filename")), "size": len(str(value.get("base64", ""))) * 3 // 4}


def _article(message: dict[str, Any]) -> str:
    files = "".join(f"\n[{each['name']}, {each['size']} bytes]" for each in message["attachments"])
    return _ARTICLE.format(
        kind=escape(message["type"]),
        title=escape(message["title"]),
        at_s=message["at_us"] / 1e6,
        path=escape(message["path"]),
        text=escape(message["message"]),
        files=escape(files),
    )
