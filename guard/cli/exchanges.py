"""``guard exchanges``: what can be watched where, and a look at one exchange as it is now."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Any, Final

import click

from guard.cli.exchange_trial import test

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.cli.output import Output
    from guard.model.exchange import ExchangeOffer
    from guard.runtime.offers import Fit

__all__ = ["exchanges"]

_WIDTH: Final = 80
_REST: Final = (("candles", "c"), ("trades", "t"), ("tickers", "k"), ("status", "s"))
_PRINTS: Final = {
    "single": "one fill",
    "taker": "all fills of a taker order at one price",
    "batch": "all trades of a moment",
    "unknown": "not known",
}
_STAMPS: Final = {"ms": "milliseconds", "s": "whole seconds", "unknown": "not known"}
_HEAD: Final = f"{'exchange':<22}{'tier':<9}{'streams':<13}{'rest':<6}{'a trade is':<12}{'stamp':<7}rules"
_LEGEND: Final = """
rest: c candles, t trades, k tickers, s status. A trade is: single, one fill;
taker, all fills of a taker order at one price. stamp: how exactly it is timed.
rules: shipped rules that work; ~ of them weaker or not known to be sound here.
? is not known. guard exchanges ls ID says why; guard exchanges test ID tries it"""


@click.group
def exchanges() -> None:
    """See which exchanges can be watched and how well, and try one."""


exchanges.add_command(test)


@exchanges.command("ls")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.pass_obj
def list_exchanges(output: Output, ids: Sequence[str]) -> None:
    """List the exchanges that have streams of trades and books.

    With ID: all that is known of it, and which shipped rules can work there and why not. Nothing is connected to.
    """
    from guard.dsl import compile_rules, load_rules, shipped_packs
    from guard.runtime.offers import fits, offers

    chosen = _chosen({offer.id: offer for offer in offers()}, ids)
    program = compile_rules(load_rules(shipped_packs()))
    rows = [(offer, fits(offer, program)) for offer in chosen]
    if output.is_json:
        output.document({"exchanges": [_document(offer, found) for offer, found in rows]})
    elif ids:
        output.text("\n\n".join("\n".join(_page(offer, found)) for offer, found in rows))
    else:
        output.text("\n".join([_HEAD, *(_line(offer, found) for offer, found in rows), _LEGEND]))


def _chosen(known: dict[str, ExchangeOffer], ids: Sequence[str]) -> list[ExchangeOffer]:
    from difflib import get_close_matches

    for wanted in ids:
        if wanted not in known:
            near = get_close_matches(wanted, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "guard exchanges ls lists all"
            raise click.UsageError(f"no exchange {wanted!r} has streams of trades and books; {hint}")
    return [known[wanted] for wanted in ids] if ids else list(known.values())


def _document(offer: ExchangeOffer, found: list[Fit]) -> dict[str, Any]:
    sets = {name: sorted(getattr(offer, name)) for name in ("streams", "keyed", "rest")}
    return {**offer._asdict(), **sets, "rules": [fit._asdict() for fit in found]}


def _line(offer: ExchangeOffer, found: list[Fit]) -> str:
    streams = " ".join(sorted(offer.streams, reverse=True)) or "need a key"
    rest = "".join(letter if name in offer.rest else "-" for name, letter in _REST)
    working = sum(fit.state != "never" for fit in found)
    doubtful = sum(fit.state in {"weaker", "unsure"} for fit in found)
    rules = f"{working} of {len(found)}" + (f" ~{doubtful}" if doubtful else "")
    prints = offer.prints.replace("unknown", "?")
    return f"{offer.id:<22}{offer.tier:<9}{streams:<13}{rest:<6}{prints:<12}{offer.stamp.replace('unknown', '?'):<7}{rules}"


def _page(offer: ExchangeOffer, found: list[Fit]) -> list[str]:
    keyed = f"; {' and '.join(sorted(offer.keyed))} want a key, which guard has none of" if offer.keyed else ""
    facts = {
        "tier": offer.tier,
        "streams": (", ".join(sorted(offer.streams, reverse=True)) or "none") + keyed,
        "over REST": ", ".join(name for name, _ in _REST if name in offer.rest) or "nothing",
        "a trade is": _PRINTS[offer.prints],
        "its time is in": _STAMPS[offer.stamp],
        "chosen by": offer.choice or "nothing that is known",
    }
    lines = [f"{offer.id} ({offer.name})"]
    lines += [_wrapped(f"  {name + ':':<16}", text) for name, text in facts.items()]
    return lines + [_wrapped(f"  {fit.rule:<16}{fit.state:<8}", fit.why) for fit in found]


def _wrapped(head: str, text: str) -> str:
    return fill(text, _WIDTH, initial_indent=head, subsequent_indent=" " * len(head)) if text else head.rstrip()
