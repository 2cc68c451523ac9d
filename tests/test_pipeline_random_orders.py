"""Random markets under brake, allow entries, lists and people: decisions depend on events and orders alone.

Not on how events are cut into batches, on the form of the kernel, nor on a state that was saved and taken over in between.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
from braked import FALL, QUIET_S, T0, S, batch, fresh, moves, program, rows, told
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.errors import OperationRefused
from guard.model import (
    AddAllow,
    AddQuarantine,
    ApplyList,
    Block,
    ExtendQuarantine,
    ListedTarget,
    Market,
    MarketFacts,
    ReleaseQuarantine,
    RemoveAllow,
    Target,
    TargetKind,
)
from guard.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from braked import Row

    from guard.model import Command

NAMES: Final = ("one:BTC/USDT", "one:A/USDT", "one:B/USDT", "two:BTC/USDT", "two:1000A/USDT", "two:B/USDT")
LENGTH_S: Final = 900
QUIET_US: Final = T0 + QUIET_S * S
ENDS_US: Final = T0 + (QUIET_S + 4 * LENGTH_S) * S
TEXT: Final = FALL + (
    "  asset:\n    mode: enforce\n    when: ret(60s) < -2%\n    level: danger\n    clear: {when: ret(60s) > -1%, for: 1m}\n"
    "    actions: {danger: [alert, {quarantine: {target: base, for: 1m, release: {when: ret(60s) > -1%, for: 30s}}}]}\n"
)
TARGETS: Final = (
    Target(TargetKind.MARKET, "one:A/USDT"),
    Target(TargetKind.MARKET, "two:B/USDT"),
    Target(TargetKind.SYMBOL, "1000A/USDT"),
    Target(TargetKind.BASE, "A"),
    Target(TargetKind.BASE, "B"),
    Target(TargetKind.EXCHANGE, "one"),
)
JITTED: Final = [False, *([True] if find_spec("numba") else [])]


class Scene(NamedTuple):
    """Events, and orders with their moments; each comes before the first event that is later."""

    events: Sequence[Row]
    orders: Sequence[tuple[int, Command]]


def path(parts: Sequence[tuple[int, float, int]]) -> Callable[[float], float]:
    each = [moves(begin, size, over_s=over) for begin, size, over in parts]
    return lambda at_s: sum(part(at_s) for part in each)


PARTS = st.lists(
    st.tuples(st.integers(0, LENGTH_S), st.sampled_from([-0.12, -0.05, -0.03, 0.04, 0.06]), st.sampled_from([20, 60, 300])),
    max_size=4,
)
LENGTHS = st.integers(1, 1_200).map(lambda seconds: seconds * S)
COMMANDS = st.one_of(
    st.builds(AddQuarantine, st.sampled_from(TARGETS), LENGTHS, st.just("news"), st.just("ann")),
    st.builds(ReleaseQuarantine, st.sampled_from(TARGETS), st.none(), st.just("fine"), st.just("ann"), LENGTHS),
    st.builds(ExtendQuarantine, st.sampled_from(TARGETS), st.none(), LENGTHS, st.just("wait"), st.just("bob")),
    st.builds(
        AddAllow,
        st.sampled_from(TARGETS[:5]),
        st.sampled_from([(), ("fall",), ("asset",)]),
        LENGTHS,
        st.just("ours"),
        st.just("ann"),
    ),
    st.builds(RemoveAllow, st.sampled_from(TARGETS[:5]), st.none(), st.just("sold"), st.just("ann")),
    st.builds(
        ApplyList,
        st.sampled_from(["mine", "theirs"]),
        st.lists(st.builds(ListedTarget, st.sampled_from(TARGETS), st.sampled_from(Block)), max_size=3).map(tuple),
        st.lists(st.sampled_from(TARGETS), max_size=2).map(tuple),
        LENGTHS.map(lambda length_us: QUIET_US + length_us),
        st.just("list"),
        st.just("list"),
    ),
)


def market_rows(common: Sequence[tuple[int, float, int]], own: Sequence[Sequence[tuple[int, float, int]]]) -> Sequence[Row]:
    return rows({name: path([*common, *parts]) for name, parts in zip(NAMES, own, strict=True)}, until_s=LENGTH_S)


SCENES = st.builds(
    lambda common, own, orders: Scene(
        [each for each in market_rows(common, own) if each.at_us > QUIET_US],
        sorted(((QUIET_US + at_s * S, command) for at_s, command in orders), key=lambda each: each[0]),
    ),
    PARTS,
    st.tuples(*[PARTS] * len(NAMES)),
    st.lists(st.tuples(st.integers(0, LENGTH_S + 300), COMMANDS), max_size=12),
)


@cache
def warm(*, jit: bool) -> str:
    """Return the state after the quiet hour, which all scenes have in common."""
    pipeline = opened(jit=jit)
    pipeline.process(batch([each for each in market_rows((), ((),) * len(NAMES)) if each.at_us <= QUIET_US]))
    return json.dumps(pipeline.save())


def opened(*, jit: bool) -> Pipeline:
    plain = fresh((), TEXT)
    pipeline = Pipeline(program(TEXT), plain.settings, jit=jit)
    for name in NAMES:
        pipeline.open(MarketFacts(Market.parse(name), tick=1e-6, streams=frozenset({"trades"})))
    return pipeline


def played(scene: Scene, *, size: int = 1 << 30, jit: bool = False, saves: frozenset[int] = frozenset()) -> tuple[list[str], str]:
    """Play a scene in batches of `size`, saved and taken over after the batches whose numbers are `saves`."""
    pipeline, number = opened(jit=jit), 0
    told_of: list[Any] = []
    pipeline.restore(json.loads(warm(jit=jit)))
    edges = [0]
    for at_us, _ in scene.orders:
        edges.append(next((index for index, each in enumerate(scene.events) if each.at_us > at_us), len(scene.events)))
    edges.append(len(scene.events))
    for order, (begin, end) in enumerate(pairwise(edges)):
        for at in range(begin, end, size):
            told_of.append(pipeline.process(batch(scene.events[at : min(end, at + size)])))
            number += 1
            if number in saves:
                saved = json.loads(json.dumps(pipeline.save()))
                pipeline = opened(jit=jit)
                pipeline.restore(saved)
        if order < len(scene.orders):
            at_us, command = scene.orders[order]
            try:
                told_of.append(pipeline.operate(command, at_us))
            except OperationRefused as error:
                told_of.append(pipeline.advance(at_us))
                told_of.append(str(error))
    told_of.append(pipeline.advance(ENDS_US))
    decisions = [each for each in told_of if not isinstance(each, str)]
    lines: list[Any] = [*told(decisions), *([*change] for each in decisions for change in each.allows)]
    texts = sorted(json.dumps(each, sort_keys=True, default=str) for each in lines)
    return [*texts, *(each for each in told_of if isinstance(each, str))], json.dumps(pipeline.save(), sort_keys=True)


@pytest.mark.parametrize("jit", JITTED)
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(scene=SCENES, saves=st.frozensets(st.integers(1, 60), max_size=3))
def test_decisions_of_a_random_scene_are_the_same_in_every_cut_and_after_every_restore(
    scene: Scene, saves: frozenset[int], *, jit: bool
) -> None:
    lines, state = played(scene)
    for size in (1, 7, 1_024):
        again, after = played(scene, size=size, jit=jit, saves=saves if size > 1 else frozenset())
        assert again == lines, size
        if not jit:
            assert after == state, size
