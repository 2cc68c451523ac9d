"""Addresses in guard.yaml and packs."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

__all__ = ["web_address"]


def web_address(url: str, *, example: str, secrets: str) -> SplitResult:
    """Return the parts of a whole http or https address without user and password; raises ValueError, without repeating it.

    `example` and `secrets` are for the text: an address that would do, and what to do with a user or password.
    """
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        parts, is_whole = SplitResult("", "", "", "", ""), False
    if not is_whole or not url.isprintable() or " " in url:
        raise ValueError(f"url must be an address such as {example}")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"url holds a user or password; {secrets}")
    return parts
