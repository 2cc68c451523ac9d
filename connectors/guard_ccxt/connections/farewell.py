"""Frames by which an exchange says that it will close a connection soon."""

from __future__ import annotations

__all__ = ["is_farewell"]


def is_farewell(message: object) -> bool:
    """Whether a decoded frame announces the end of its connection.

    Binance sends ``serverShutdown`` as an event of its own or in an envelope; OKX a ``notice`` (code 64008) a minute before; Gate
    asks to reconnect.

    Examples
    --------
    >>> is_farewell({"e": "serverShutdown", "E": 1}), is_farewell({"event": {"e": "serverShutdown"}})
    (True, True)
    >>> is_farewell({"event": "notice", "code": "64008", "msg": "The connection will soon be closed"})
    True
    >>> is_farewell({"type": "upgrade", "msg": "The connection will soon be closed for a service upgrade. Please reconnect."})
    True
    >>> is_farewell({"e": "trade", "msg": None}), is_farewell({"event": "subscribe"}), is_farewell([1]), is_farewell("pong")
    (False, False, False, False)
    """
    if type(message) is not dict:
        return False
    event = message.get("event")
    if event == "notice" or message.get("e") == "serverShutdown":
        return True
    inner = event if type(event) is dict else message.get("data")
    if type(inner) is dict and inner.get("e") == "serverShutdown":
        return True
    text = message.get("msg")
    return type(text) is str and "reconnect" in text.lower()
