"""One contract for every field of the kernel and every feature of the catalogue."""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Final

import pytest
from features.streams import SECOND, START, Row, feed

from guard.dsl import compile_rules
from guard.dsl.problems import Report
from guard.dsl.rules import rules_from_text
from guard.errors import RuleError
from guard.features.arguments import STRETCHED
from guard.features.catalogue import CATALOGUE
from guard.features.fields import FIELDS
from guard.features.kernel import Kernel
from guard.features.tables import Argument, Cost, Feature, Field, Leaf, Type, Unit
from guard.model import BUY, SELL, Channel, Flag, Kind, Market, MarketFacts, Status

if TYPE_CHECKING:
    from guard.dsl import Program

STREAMS: Final = ("trades", "book", "peers", "market")
SAMPLES: Final = {Type.DURATION: "60s", Type.RATIO: "20bp", Type.NUMBER: "1", Type.BOOL: "true"}
END: Final = START + 6_000 * SECOND
# What is told by the exchange or by its absence, and so is known without a single event of the stream.
KNOWN_WITHOUT_EVENTS: Final = {
    "gaps": "a stream that never came has no gap",
    "events": "a stream that never came has no event",
    "late": "and none that is late",
    "coverage": "a stream that never came covers nothing",
}


def named(entry: Field | Feature) -> str:
    return entry.name


def sample(argument: Argument) -> str:
    if argument.type is Type.TEXT:
        return argument.choices[0]
    return SAMPLES[argument.type]


def calls(entry: Field | Feature) -> list[str]:
    """Return the entry as a call with every argument given, and with only those that must be."""
    whole = [f"{argument.name}={sample(argument)}" for argument in entry.arguments]
    least = [sample(argument) for argument in entry.arguments if argument.default is None]
    return list(dict.fromkeys(f"{entry.name}({', '.join(words)})" for words in (whole, least)))


def program(*wanted: str) -> Program:
    """Compile one rule for each call, true where it is known; raises RuleError with every problem."""
    report = Report()
    rules = (f'  r{number}:\n    mode: alert\n    level: danger\n    when: "known({call})"\n' for number, call in enumerate(wanted))
    found = rules_from_text("rules:\n" + "".join(rules), report)
    if report.errors:
        raise RuleError(*report.errors)
    return compile_rules(found)


def live(channel: Channel) -> Row:
    return Row(Kind.STATUS, START, side=int(channel), key=int(Status.LIVE))


def trades() -> list[Row]:
    """Return 100 minutes of trades on both sides."""
    return [
        live(Channel.TRADES),
        *(
            Row(
                Kind.TRADE,
                START + number * SECOND,
                100.0 + number % 7 * 0.01,
                1.0 + number % 5 + number % 97 / 100,
                BUY if number % 3 else SELL,
                number,
            )
            for number in range(1, 6_000)
        ),
    ]


def books() -> list[Row]:
    """Return 100 minutes of a book that is shown anew each second, and of one change after it."""
    rows = [live(Channel.BOOK)]
    for number in range(1, 6_000):
        at_us = START + number * SECOND
        rows.append(Row(Kind.LEVEL, at_us, 99.9, 5.0 + number % 3, BUY, flags=Flag.SNAPSHOT))
        rows.append(Row(Kind.LEVEL, at_us, 100.1, 5.0, SELL, flags=Flag.SNAPSHOT | Flag.LAST))
        rows.append(Row(Kind.LEVEL, at_us, 99.8, 1.0 + number % 4, BUY, flags=Flag.LAST))
    return rows


ALL: Final = [*FIELDS, *CATALOGUE]
NEEDING_EVENTS: Final = [entry for entry in ALL if entry.name not in KNOWN_WITHOUT_EVENTS]


@cache
def known_after(*streams: str) -> frozenset[str]:
    """Return the calls that are known after 100 minutes in which only `streams` delivered."""
    wanted = [call for entry in ALL for call in calls(entry)]
    made = program(*wanted)
    kernel = Kernel(made.leaves)
    facts = MarketFacts(Market("sim", "X/USDT"), streams=frozenset(streams))
    kernel.open(facts)
    rows = [row for stream in streams for row in {"trades": trades, "book": books}[stream]()]
    feed(kernel, sorted(rows, key=lambda row: row.at_us))
    leaves = [0.0] * len(made.leaves)
    kernel.read(0, END, END + 1_000, leaves)
    outcomes = made.bind(facts).evaluate(leaves)
    return frozenset(wanted[outcome.rule] for outcome in outcomes if outcome.fires is True)


def streams_of(entry: Field | Feature) -> frozenset[str]:
    """Return the streams that an entry cannot do without."""
    if isinstance(entry, Field):
        return frozenset({entry.stream} - {"market"})
    fields = {field.name: field for field in FIELDS}
    return frozenset(fields[leaf.field].stream for leaf in program(calls(entry)[0]).leaves) - {"market"}


def test_names_are_unique_over_both_tables() -> None:
    assert [name for name, count in Counter(map(named, ALL)).items() if count > 1] == []


@pytest.mark.parametrize("entry", ALL, ids=named)
def test_entry_is_described_with_unit_and_arguments(entry: Field | Feature) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", entry.name)
    assert re.fullmatch(r"[A-Z0-9].{9,}[.]", entry.doc), "one sentence, from a capital to a full stop"
    assert entry.unit in Unit
    assert len({argument.name for argument in entry.arguments}) == len(entry.arguments)
    given = [argument.default is None for argument in entry.arguments]
    assert given == sorted(given, reverse=True), "arguments that must be given come first"
    for argument in entry.arguments:
        assert argument.type in Type
        assert bool(argument.choices) == (argument.type is Type.TEXT)
        assert argument.default is None or not argument.choices or argument.default in argument.choices
    if isinstance(entry, Field):
        assert entry.stream in STREAMS
    else:
        assert entry.min_count >= 0


@pytest.mark.parametrize("entry", ALL, ids=named)
def test_entry_tells_formula_minimum_source_and_cost(entry: Field | Feature) -> None:
    assert entry.formula
    assert entry.minimum
    assert entry.source
    for sentence in (entry.formula, entry.minimum, entry.source):
        assert sentence == sentence.strip()
        assert not sentence.endswith(".")
    if isinstance(entry, Field):
        assert entry.cost in Cost
        assert entry.bound
        assert (entry.cost is Cost.HISTOGRAM) == ("renewed" in entry.bound), "only the answers of histograms are renewed"
        assert (STRETCHED in entry.bound) == any(argument.name == "w" for argument in entry.arguments) or (
            entry.cost is Cost.HISTOGRAM
        ), "every window is stretched, and says so"


@pytest.mark.parametrize("field", FIELDS, ids=named)
def test_field_tells_its_unit_in_words(field: Field) -> None:
    words = {Unit.BASE: "in base", Unit.QUOTE: "in quote", Unit.USD: "USD"}
    assert words.get(field.unit, "") in field.doc


@pytest.mark.parametrize("entry", ALL, ids=named)
def test_entry_compiles_and_is_read_by_the_kernel(entry: Field | Feature) -> None:
    for call in calls(entry):
        made = program(call)
        assert made.leaves
        Kernel(made.leaves)


@pytest.mark.parametrize("entry", ALL, ids=named)
def test_entry_refuses_an_argument_that_it_does_not_have(entry: Field | Feature) -> None:
    with pytest.raises(RuleError):
        program(f"{entry.name}({', '.join([*map(sample, entry.arguments), '1'])})")


@pytest.mark.parametrize("entry", NEEDING_EVENTS, ids=named)
def test_entry_is_unknown_before_anything_has_arrived(entry: Field | Feature) -> None:
    assert not known_after() & set(calls(entry))


@pytest.mark.parametrize("entry", NEEDING_EVENTS, ids=named)
def test_entry_is_unknown_when_a_stream_that_it_needs_is_absent(entry: Field | Feature) -> None:
    for stream in sorted(streams_of(entry)):
        rest = sorted({"trades", "book"} - {stream})
        assert not known_after(*rest) & set(calls(entry)), f"{stream} is absent"


# One lone market cannot give what needs other exchanges, or what the exchange tells by itself.
NEEDS_MORE: Final = frozenset({"divergence", "market_age", "slippage", "usd_rate", "volume_24h_usd"})


@pytest.mark.parametrize("entry", ALL, ids=named)
def test_entry_is_known_where_its_streams_deliver(entry: Field | Feature) -> None:
    read = {leaf.field for leaf in program(calls(entry)[0]).leaves}
    if read & NEEDS_MORE:
        assert not known_after("trades", "book") & set(calls(entry))
    else:
        assert known_after("trades", "book") & set(calls(entry))


def test_leaf_that_is_not_covered_reads_not_a_number() -> None:
    kernel = Kernel([Leaf("volume", (60 * SECOND,))])
    kernel.open(MarketFacts(Market("sim", "X/USDT")))
    rows = trades()[:20]
    feed(kernel, rows)
    out = [0.0]
    kernel.read(0, rows[-1].at_us, rows[-1].at_us, out)
    assert math.isnan(out[0])


def test_what_is_known_without_events_is_listed_and_nothing_else() -> None:
    found = {call.partition("(")[0] for call in known_after()}
    assert found == set(KNOWN_WITHOUT_EVENTS)
