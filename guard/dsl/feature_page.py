"""The page that describes every field and feature, made from their tables."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from guard.dsl.describe import usage
from guard.dsl.tables import installed_tables
from guard.features.tables import Cost, Feature, Field

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["costs_of", "feature_page", "fields_of"]

_CALL = re.compile(r"([a-z_0-9]+)\(")
_HEAD = """# Features

Made by `guard rules features --markdown` from the tables of fields and features; a test holds the page to them.

A **field** is what guard keeps of every market; a **feature** is a formula over fields. Rules name both alike. What is missing is
unknown, never 0. `w` is a window of 1 s to 24 h; all rules together may name 16.

## What it costs

| cost | meaning |
|---|---|
| last | one value that is kept, read as it stands |
| sum | a running total, kept at the ends of bins; a window is the difference of two |
| walk | a pass over bins, levels or kept trades at each reading |
| histogram | a decayed histogram of 1.2 kB for each market and each baseline that rules name |

## How exact it is

Every field and feature is compared with slow exact arithmetic over all events (`tests/features/oracle`), on random streams and on a
seeded day with bursts, silence, late trades, gaps and outages. What each field may differ by stands with it. In general:

- A window ends now and begins at the beginning of the bin that holds its left end. Bins last .05, .25, 1, 5, 15, 60, 300, 900 or
  3600 s, the longest of which the window holds at least 20: so it covers `w` to 1.05 `w`, never less.
- A trade that comes late counts at the time at which it comes; so no window ever changes afterwards.
- Windows up to 5 min need an unbroken stream, longer ones 90 %. A loss counts whole as long as its end lies in the window, so a
  window may be unknown where 90 % is covered, and is never known where it is not.
- Time in which nothing can be observed ages no baseline.

"""


def feature_page() -> str:
    """Return the page as Markdown."""
    fields, catalogue = installed_tables()
    parts = [_HEAD, "## Features\n\n", *(_feature(row) for row in sorted(catalogue, key=lambda row: row.name))]
    parts += ["## Fields\n\n", *(_field(row) for row in sorted(fields, key=lambda row: row.name))]
    return "".join(parts).rstrip("\n") + "\n"


def fields_of(row: Feature | Field) -> tuple[Field, ...]:
    """Return the fields that a row rests on, itself where it is one."""
    fields, catalogue = installed_tables()
    rows: list[Feature | Field] = [*fields, *catalogue]
    known = {item.name: item for item in rows}

    def walk(item: Feature | Field) -> Iterator[Field]:
        if isinstance(item, Field):
            yield item
            return
        for name in _CALL.findall(item.formula):
            if name in known:
                yield from walk(known[name])

    return tuple(sorted(set(walk(row)), key=lambda item: item.name))


def costs_of(row: Feature | Field) -> tuple[Cost, ...]:
    """Return what a row costs: what its fields cost, cheapest first."""
    found = {field.cost for field in fields_of(row)}
    return tuple(cost for cost in Cost if cost in found)


def _feature(row: Feature) -> str:
    links = ", ".join(f"[{field.name}](#{field.name})" for field in fields_of(row))
    least = f"; at least {row.min_count} trades" if row.min_count else ""
    return _entry(
        row,
        formula=f"`{row.formula}`",
        minimum=f"{row.minimum}{least}",
        rest=(("cost", ", ".join(costs_of(row))), ("rests on", links)),
    )


def _field(row: Field) -> str:
    return _entry(
        row,
        formula=_plain(row.formula),
        minimum=row.minimum,
        rest=(("stream", row.stream), ("cost", str(row.cost)), ("exactness", row.bound)),
    )


def _entry(row: Feature | Field, *, formula: str, minimum: str, rest: tuple[tuple[str, str], ...]) -> str:
    facts = (("unit", str(row.unit)), ("formula", formula), ("known from", minimum), ("source", row.source), *rest)
    lines = "".join(f"- {name}: {text}\n" for name, text in facts)
    return f"### {row.name}\n\n`{usage(row)}`: {row.doc}\n\n{lines}\n"


def _plain(text: str) -> str:
    """Keep words of a formula from being taken for Markdown."""
    return text.replace("*", r"\*").replace("_", r"\_").replace("<", r"\<")
