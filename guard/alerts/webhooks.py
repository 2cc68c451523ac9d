"""Posts what rules order to the endpoints of guard.yaml."""

from __future__ import annotations

import asyncio
import hmac
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from guard import __version__
from guard.alerts.secrecy import Redactor
from guard.model import ActionKind
from guard.model.ports import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.alerts.endpoints import Endpoint
    from guard.model import Delivery
    from guard.model.ports import Clock

__all__ = ["Webhooks", "signature"]

_ATTEMPTS_MAX = 16
_ERROR_MAX = 300
_HOPS_MAX = 3
_RETRY_AFTER_MAX_S = 3600.0
_ANSWER_MAX = 512
_SAME_METHOD = frozenset({307, 308})
_AGAIN = frozenset({408, 425, 429})


def signature(key: bytes, timestamp: int, body: bytes) -> str:
    """Return the header ``Guard-Signature``: HMAC-SHA256 over the timestamp (seconds since 1970), a full stop and the raw body.

    Examples
    --------
    >>> signature(b"key", 1700000000, b"{}")[:24]
    't=1700000000,v1=9d713ed4'
    """
    return f"t={timestamp},v1={hmac.new(key, b'%d.%s' % (timestamp, body), sha256).hexdigest()}"


class Webhooks:
    """A `Notifier` for deliveries of kind ``webhook``.

    Parameters
    ----------
    endpoints
        The webhooks of guard.yaml by name.
    clock
        The machine's clock, for signatures and for a Retry-After that is a date.

    Notes
    -----
    Every 2xx is a delivery. 408, 425, 429, 5xx and whatever keeps an answer from coming are tried again, 16 times at most and not
    before the seconds of Retry-After; every other status is final. Redirects are followed with the same method and body on the same
    scheme, host and port only (307, 308). At most 512 bytes of an answer are read. No message holds a part of the address that
    could be secret, a header's value or the key.
    """

    def __init__(self, endpoints: Mapping[str, Endpoint], clock: Clock) -> None:
        self._endpoints = dict(endpoints)
        self._clock = clock
        self._redactor = Redactor(secret for endpoint in self._endpoints.values() for secret in endpoint.secrets())
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Let go of every connection. Safe to call twice."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def send(self, delivery: Delivery) -> Outcome:
        """Try once within the endpoint's timeout; a failed delivery is an outcome, never an exception."""
        name = delivery.channel.removeprefix(f"{ActionKind.WEBHOOK}:")
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            return Outcome(is_delivered=False, error=f"guard.yaml names no webhook {name!r}", is_final=True)
        try:
            async with asyncio.timeout(endpoint.timeout_s):
                outcome = await self._post(endpoint, delivery)
        except TimeoutError:
            outcome = _failed(f"no answer within {endpoint.timeout_s:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            outcome = _failed(f"{type(error).__name__}: {error}")
        if outcome.is_delivered:
            return outcome
        is_last = delivery.attempts + 1 >= _ATTEMPTS_MAX
        return outcome._replace(error=self._redactor.clean(outcome.error)[:_ERROR_MAX], is_final=outcome.is_final or is_last)

    async def _post(self, endpoint: Endpoint, delivery: Delivery) -> Outcome:
        body, at = delivery.body.encode(), URL(endpoint.url)
        for _ in range(_HOPS_MAX + 1):
            headers = self._headers(endpoint, delivery, body)
            async with self._opened().post(at, data=body, headers=headers, allow_redirects=False) as answer:
                if answer.status not in _SAME_METHOD:
                    return await self._outcome(answer)
                to = at.join(URL(answer.headers.get("Location", "")))
                if to.origin() != at.origin():
                    return _failed(
                        f"it answers {answer.status} and leads to another host, which guard does not follow", is_final=True
                    )
                at = to
        return _failed(f"it leads on for more than {_HOPS_MAX} times", is_final=True)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Cookies of one endpoint are nobody's business; the deadline is the whole attempt's, set by `send`.
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=None), auto_decompress=False
            )
        return self._session

    def _headers(self, endpoint: Endpoint, delivery: Delivery, body: bytes) -> dict[str, str]:
        timestamp = self._clock.now_us() // 1_000_000
        signed = {} if endpoint.key is None else {"Guard-Signature": signature(endpoint.key, timestamp, body)}
        names = {name.lower() for name in endpoint.headers}
        return {
            **({} if "user-agent" in names else {"User-Agent": f"guard/{__version__}"}),
            **endpoint.headers,
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "Idempotency-Key": delivery.id,
            "Guard-Attempt": str(delivery.attempts + 1),
            **signed,
        }

    async def _outcome(self, answer: aiohttp.ClientResponse) -> Outcome:
        status = answer.status
        if 200 <= status < 300:  # noqa: PLR2004 - HTTP's own classes
            return Outcome(is_delivered=True, output=f"HTTP {status}")
        text = (await answer.content.read(_ANSWER_MAX)).decode(errors="replace")
        words = " ".join(text.split())
        said = f"it answers {status}" + (f": {words}" if words.isprintable() and words else "")
        if 300 <= status < 400:  # noqa: PLR2004 - likewise
            said = f"it answers {status}; guard posts to the address itself and follows 307 and 308 on the same host only"
        is_final = status < 500 and status not in _AGAIN  # noqa: PLR2004 - likewise
        return _failed(said, is_final=is_final)._replace(retry_after_s=None if is_final else self._retry_after_s(answer))

    def _retry_after_s(self, answer: aiohttp.ClientResponse) -> float | None:
        """Return the seconds that the other side asks for, 0 to 3600; None where it asks for nothing that can be read."""
        text = answer.headers.get("Retry-After", "").strip()
        try:
            asked_s = float(text) if text.isdecimal() else parsedate_to_datetime(text).timestamp() - self._clock.now_us() / 1e6
        except (ValueError, OverflowError):
            return None
        return min(max(0.0, asked_s), _RETRY_AFTER_MAX_S)


def _failed(error: str, *, is_final: bool = False) -> Outcome:
    return Outcome(is_delivered=False, error=error, is_final=is_final)
