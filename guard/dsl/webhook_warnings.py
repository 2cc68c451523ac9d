"""What is wrong with a webhook and still works."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from guard.dsl.document import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.dsl.action_models import WebhookSettings
    from guard.dsl.problems import Report

__all__ = ["warn_of_cleartext"]

_NEAR = (".internal", ".lan", ".local", ".localhost")


def warn_of_cleartext(tree: Table, webhooks: Mapping[str, WebhookSettings], report: Report) -> None:
    """Warn of each webhook that goes beyond the own network without TLS; `tree` is that of guard.yaml."""
    entry = tree.entries.get("webhooks")
    places = entry.node.entries if entry is not None and isinstance(entry.node, Table) else {}
    for name, settings in webhooks.items():
        url = urlsplit(settings.url.get_secret_value())
        if url.scheme == "http" and not _is_near(url.hostname or "") and name in places:
            message = f"the webhook {name!r} posts without TLS: whoever is on the way can read its headers and keep events back"
            report.add("W071", places[name].key, message, "write https://, or keep it inside your own network")


def _is_near(host: str) -> bool:
    """Whether a host lies in the own network, as far as its name tells.

    Examples
    --------
    >>> [_is_near(host) for host in ("bot", "10.0.0.7", "::1", "bot.internal", "8.8.8.8", "bot.example.org")]
    [True, True, True, True, False, False]
    """
    try:
        address = ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(_NEAR)
    return address.is_private
