"""``guard report``: what guard did over a while, and what it was worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from guard.cli.durations import duration_option
from guard.cli.output import Exit
from guard.errors import GuardError
from guard.model.aftermath import ORDER_FEE

if TYPE_CHECKING:
    from guard.cli.output import Output

__all__ = ["report"]

_FEE_MAX = 5.0


@click.command
@click.option(
    "--last",
    "last_us",
    metavar="DURATION",
    default="7d",
    show_default=True,
    callback=duration_option,
    help="How far back: 24h, 7d.",
)
@click.option(
    "--fee",
    type=click.FloatRange(0.0, _FEE_MAX),
    default=100 * ORDER_FEE,
    show_default=True,
    help="Percent of the stake that one order costs; an entry pays it twice.",
)
@click.option("--html", "html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page to this file.")
@click.option("--digest", "is_digest", is_flag=True, help="A few lines, to send to somebody.")
@click.option("--state", type=click.Path(path_type=Path), envvar="GUARD_STATE", help="State folder of the guard.")
@click.pass_obj
def report(output: Output, last_us: int, fee: float, html: Path | None, state: Path | None, *, is_digest: bool) -> int:
    """Tell what was blocked, and what prices did afterwards.

    Blocks and would-be blocks of each rule, what entries refused then would have brought after 15 minutes, an hour and a day, what
    each bot asked and was refused, and how well exchanges were seen. Needs no running guard.
    """
    from guard.client.clock import MACHINE
    from guard.runtime.reporting import make_report
    from guard.runtime.state import StateFolder

    now_us = MACHINE.wall_us()
    found = make_report(StateFolder(state), since_us=now_us - last_us, until_us=now_us, fee=fee / 100)
    if html is not None:
        from guard.analysis.report_page import page_of

        try:
            html.write_text(page_of(found), encoding="utf-8")
        except OSError as error:
            raise GuardError(f"{html} cannot be written: {error.strerror}") from error
    if output.is_json:
        from guard.analysis.report_text import document_of

        output.document(document_of(found))
        return Exit.OK
    from guard.analysis.report_text import digest_of, text_of

    for line in digest_of(found) if is_digest else text_of(found):
        output.text(line)
    if html is not None:
        output.text(f"The page is in {html}.")
    return Exit.OK
