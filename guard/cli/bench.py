"""``guard bench``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from guard.cli.output import Exit, Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.runtime.bench.rows import Figure, Row

__all__ = ["bench", "document", "exit_of"]

_ROUNDS = 5
_QUICK_SCALE = 0.05
_WIDTH = 150
_LIVE = ("d", "e", "h", "i", "j", "k", "o", "p", "q", "r", "s", "t")


@click.command
@click.option("--only", help="Some measures: a,b. Without it all of them, a to t.")
@click.option("--live", is_flag=True, help="The measures of a guard that runs live: d, e, h, i, j, k and o to t.")
@click.option("--quick", is_flag=True, help="Small workloads and three rounds: shows that it runs; nothing is judged.")
@click.option("--rounds", type=click.IntRange(1, 1000), help=f"Interleaved rounds; {_ROUNDS} by default, the least that counts.")
@click.option(
    "--minutes", type=click.FloatRange(0.1, 1440), default=2.0, help="How long r watches memory; 2 by default, its bar is for 30."
)
@click.option("--plain", is_flag=True, help="Leave the compiled kernel aside, as without the extra `fast`.")
@click.option(
    "--peers",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of programs that measure others (tests/bench of a checkout; `make bench` sets it up).",
)
@click.option(
    "--tapes",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="CSV tapes for the measure of guard replay, files or folders; without them it makes one.",
)
@click.pass_obj
def bench(
    output: Output,
    *,
    only: str | None,
    live: bool,
    quick: bool,
    rounds: int | None,
    minutes: float,
    plain: bool,
    peers: Path | None,
    tapes: Sequence[Path],
) -> int:
    """Measure what guard costs here and hold it against the bars.

    Most figures are ratios to yardsticks in the same run: C, ccxt, other libraries, a timer.

    Exits 1 where a bar is missed. Run it on a machine that does nothing else.
    """
    from guard.runtime.bench.measures import MEASURES, run_bench
    from guard.runtime.bench.plan import Plan
    from guard.runtime.clock import SystemClock

    if live and only:
        raise click.UsageError("--live and --only both choose the measures: give one of them")
    names = list(_LIVE) if live else [name.strip() for name in only.split(",")] if only else []
    unknown = [name for name in names if name not in MEASURES]
    if unknown:
        raise click.BadParameter(f"no measure {', '.join(unknown)}; there are {', '.join(MEASURES)}", param_hint="--only")
    plan = Plan(
        SystemClock(),
        rounds=rounds or (3 if quick else _ROUNDS),
        scale=_QUICK_SCALE if quick else 1.0,
        peers=peers,
        tapes=tuple(_files(tapes)),
        is_plain=plain,
        minutes=minutes,
    )
    rows = []
    for row in run_bench(plan, names):
        rows.append(row._replace(is_met=None, note=row.note or "--quick is not judged") if quick else row)
        click.echo(
            f"{row.key} {row.build}: {_figure(row.compared or row.value).replace(chr(10), ', ')} {_verdict(rows[-1])}", err=True
        )
    if output.is_json:
        output.document(document(rows, plan.rounds))
    else:
        _table(rows, plan.rounds)
    return exit_of(rows)


def exit_of(rows: Sequence[Row]) -> Exit:
    """Return 1 where a bar is missed; what could not be judged is no miss."""
    return Exit.FINDINGS if any(row.is_met is False for row in rows) else Exit.OK


def document(rows: Sequence[Row], rounds: int) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    counts = {"met": True, "missed": False, "not_judged": None}
    return {
        "rounds": rounds,
        "measures": [row.document() for row in rows],
        **{name: sum(row.is_met is state for row in rows) for name, state in counts.items()},
    }


def _files(tapes: Sequence[Path]) -> list[Path]:
    return [file for tape in tapes for file in (sorted(tape.glob("*.csv*")) if tape.is_dir() else [tape])]


def _table(rows: Sequence[Row], rounds: int) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    table = Table(box=box.SIMPLE_HEAD, title=f"guard bench: medians of {rounds} rounds, lowest and highest below")
    for name in ("", "measure", "kernel", "value", "reference", "ratio", "bar", "verdict"):
        table.add_column(name, justify="right" if name in {"value", "reference", "ratio", "bar"} else "left")
    for row in rows:
        table.add_row(
            row.key,
            row.title,
            row.build,
            _figure(row.value, row.unit),
            _figure(row.reference, row.reference_name),
            _figure(row.compared) if row.reference else "",
            f"{'<=' if row.bar.is_ceiling else '>='} {_number(row.bar.limit)}" if row.title and row.build else "",
            _verdict(row),
        )
    console.print(table)
    for row in rows:
        if row.note:
            console.print(f"{row.key}: {row.note}", markup=False, highlight=False)


def _verdict(row: Row) -> str:
    return {True: "met", False: "MISSED", None: "not judged" if row.value else "not run"}[row.is_met]


def _figure(figure: Figure | None, what: str = "") -> str:
    if figure is None:
        return ""
    return f"{_number(figure.median)} {what}\n{_number(figure.low)} - {_number(figure.high)}"


def _number(value: float) -> str:
    if abs(value) >= 1000:  # noqa: PLR2004 - where separators begin to help
        return f"{value:,.0f}"
    return f"{value:.3g}"
