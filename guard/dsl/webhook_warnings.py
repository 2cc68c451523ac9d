"""What is sent in the clear and still works: webhooks, and the password of a bot's interface."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from guard.dsl.document import Table, find

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.dsl.action_models import WebhookSettings
    from guard.dsl.bot_models import BotLocks, FreqtradeBot
    from guard.dsl.bot_policies import BotSettings
    from guard.dsl.problems import Report
    from guard.dsl.settings import ExchangeSettings

__all__ = ["warn_of_cleartext", "warn_of_cleartext_bots"]

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


def warn_of_cleartext_bots(
    tree: Table, exchanges: Mapping[str, ExchangeSettings], bots: Mapping[str, BotSettings], report: Report
) -> None:
    """Warn of each bot whose password goes beyond the own network without TLS; `tree` is that of guard.yaml."""
    for name, exchange in exchanges.items():
        bot = None if exchange.from_bot is None else exchange.from_bot.freqtrade
        _warn_of_bot(tree, f"the bot on {name}", bot, ("exchanges", name, "from_bot", "freqtrade", "url"), report)
    for name, settings in bots.items():
        _warn_of_bot(tree, f"the bot {name}", settings.locks, ("bots", name, "locks", "url"), report)


def _warn_of_bot(tree: Table, which: str, bot: FreqtradeBot | BotLocks | None, path: tuple[str, ...], report: Report) -> None:
    if bot is None or bot.url is None or (bot.password is None and bot.token is None):
        return
    url = urlsplit(bot.url)
    if url.scheme == "http" and not _is_near(url.hostname or ""):
        entry, _ = find(tree, path)
        message = f"the password of {which} is sent without TLS: whoever is on the way can command the bot with it"
        report.add("W017", entry.key, message, "write https://, or reach the bot through a tunnel")


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
