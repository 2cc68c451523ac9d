"""What to do about an error of ccxt. Imports ccxt."""

from __future__ import annotations

from enum import Enum, auto

import ccxt

from guard.errors import Disconnected, RateLimited, Unavailable

__all__ = ["Fault", "classify", "is_expected", "said", "translated"]

RETRY_AFTER_S = 30.0
_ALREADY = "Alert sub"  # Gate: the connection has that book already, and must let go of it first


class Fault(Enum):
    """The ways to go on after a failure."""

    RESYNC = auto()  # a hole in a sequence: subscribe this symbol again
    PAUSE = auto()  # the exchange asked for quiet: no REST for a while
    MAINTENANCE = auto()
    NETWORK = auto()  # wait and try again
    PERMANENT = auto()  # trying again cannot help
    REQUEST = auto()  # the exchange dislikes what we asked for, perhaps the depth


# Order matters: a ChecksumError is an InvalidNonce is a NetworkError.
_TABLE: tuple[tuple[type[BaseException], Fault], ...] = (
    (ccxt.InvalidNonce, Fault.RESYNC),
    (ccxt.UnsubscribeError, Fault.RESYNC),
    (ccxt.DDoSProtection, Fault.PAUSE),
    (ccxt.RateLimitExceeded, Fault.PAUSE),
    (ccxt.OnMaintenance, Fault.MAINTENANCE),
    (ccxt.OperationFailed, Fault.NETWORK),
    (ccxt.BadSymbol, Fault.PERMANENT),
    (ccxt.NotSupported, Fault.PERMANENT),
    (ccxt.AuthenticationError, Fault.PERMANENT),
    (ccxt.ArgumentsRequired, Fault.REQUEST),
    (ccxt.BadRequest, Fault.REQUEST),
)


def classify(error: BaseException) -> Fault:
    """Return what to do about `error`; anything unknown is worth another try later."""
    if isinstance(error, ccxt.BadRequest) and _ALREADY in str(error):
        return Fault.RESYNC
    return next((fault for kind, fault in _TABLE if isinstance(error, kind)), Fault.NETWORK)


def is_expected(error: BaseException) -> bool:
    """Whether people need not be told: connections come and go."""
    return isinstance(error, (ConnectionError, TimeoutError)) or type(error).__module__.startswith("ccxt")


def said(error: BaseException) -> str:
    """Return what an error says and, as ccxt names nothing but the address where a request failed, what made it fail.

    Examples
    --------
    >>> error = ccxt.ExchangeNotAvailable("GET https://api.example.com")
    >>> error.__cause__ = OSError("Name or service not known")
    >>> said(error)
    'GET https://api.example.com: Name or service not known'
    """
    told, cause = " ".join(str(error).split()) or type(error).__name__, error.__cause__
    why = "" if cause is None else " ".join(str(cause).split()) or type(cause).__name__
    return told if not why or why in told else f"{told}: {why}"


def translated(error: Exception, doing: str, *, retry_after_s: float) -> Unavailable:
    """Return guard's error for a failure of ccxt while `doing` something."""
    text = f"{doing}: {type(error).__name__}: {said(error)[:300]}"
    if classify(error) is Fault.PAUSE:
        return RateLimited(text, retry_after_s=retry_after_s)
    return Disconnected(text)
