"""One REST budget for one exchange and address, however many connectors ask it, one after another or at once. Imports ccxt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from guard_ccxt.rest.client import Rest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guard.model.ports import Clock

__all__ = ["shared_rest"]

_Place = tuple[str, frozenset[str]]
_KNOWN: WeakKeyDictionary[Clock, dict[_Place, Rest]] = WeakKeyDictionary()


def shared_rest(exchange: Any, clock: Clock, *, concurrent: int, share: float, stop_at: float, note: Callable[[str], None]) -> Rest:
    """Return the budget of an exchange in this process, with the hooks installed in `exchange`.

    Exchanges count by address: two entries of guard.yaml for one exchange have one share together, the smaller of theirs, and a
    connector that is made anew after a failure finds the pause that its predecessor was asked for. Whose budget it is: all that
    were given the same clock, ask for the same id, and reach it under the same host names.
    """
    places = _KNOWN.setdefault(clock, {})
    place = (str(exchange.id), frozenset(_hosts(exchange.urls.get("api"))))
    rest = places.get(place)
    if rest is None:
        rest = places[place] = Rest(exchange, clock, concurrent=concurrent, share=share, stop_at=stop_at, note=note)
    else:
        rest.join(exchange, share=share, stop_at=stop_at, note=note)
    rest.install()
    return rest


def _hosts(urls: object) -> Iterator[str]:
    if isinstance(urls, dict):
        for below in urls.values():
            yield from _hosts(below)
    elif isinstance(urls, str):
        yield urlsplit(urls).netloc
