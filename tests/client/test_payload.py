"""What is published is what is read; and nothing that guard would not write is read."""

from __future__ import annotations

import json

import pytest
from client.images import BOOT_ID, START_US, image, quarantine
from hypothesis import given
from hypothesis import strategies as st

from guard.client.packing import pack
from guard.client.payload import block_record, decode, document, encode
from guard.model import Block, IsolationState, Market, MarketView, Mode, TargetKind

NAMES = st.text(st.characters(codec=None), max_size=12)
VIEWS = st.builds(
    MarketView, NAMES, NAMES, st.none() | st.floats(0, 1), st.integers(0, 50), st.integers(0, 50)
)  # fmt: skip
BLOCKS = st.builds(
    quarantine,
    NAMES,
    kind=st.sampled_from(TargetKind),
    until_us=st.integers(0, 1 << 60),
    state=st.sampled_from([IsolationState.QUARANTINED, IsolationState.PROBATION]),
    block=st.sampled_from(Block),
    is_timed=st.booleans(),
    identity=NAMES,
    max_fraction=st.floats(0, 1),
    reason=NAMES,
)
WRITING = {"epoch": 3, "seq": 9, "durable": True, "wall_us": START_US, "boot_ns": 5, "boot_id": BOOT_ID}


@given(st.dictionaries(NAMES, VIEWS, max_size=5), st.lists(BLOCKS, max_size=5), st.sampled_from(Mode), st.booleans())
def test_any_state_survives_the_way_to_a_bot(markets: dict, blocks: list, mode: Mode, is_running: bool) -> None:  # noqa: FBT001
    policies = {"*": {"warming": False}}
    read = decode(encode(image(*blocks, mode=mode, markets=markets, on_unknown=policies, is_running=is_running), **WRITING))
    assert {name: MarketView(*found) for name, found in read.markets.items()} == {
        name: found._replace(score=None) for name, found in markets.items()
    }
    assert (read.mode, read.is_running, read.on_unknown) == (mode, is_running, policies)
    assert (read.epoch, read.seq, read.durable, read.wall_us, read.boot_ns, read.boot_id) == (3, 9, True, START_US, 5, BOOT_ID)
    assert [(b.id, b.target, b.block, b.until_us, b.max_fraction, b.is_timed) for b in read.blocks] == [
        (q.id, q.target, q.block, q.until_us, q.hold.max_fraction, q.hold.release_for_us is None) for q in blocks
    ]


@given(st.lists(BLOCKS, max_size=6), st.sampled_from(["sim:X/USDT", "sim:Y/USDT", "okx:X/EUR:EUR"]))
def test_index_finds_exactly_the_blocks_that_cover_a_market(blocks: list, name: str) -> None:
    known = [
        quarantine("sim:X/USDT"),
        quarantine("X", kind=TargetKind.BASE),
        quarantine("Y/USDT", kind=TargetKind.SYMBOL),
        quarantine("okx", kind=TargetKind.EXCHANGE),
    ]
    read = decode(encode(image(*blocks, *known), **WRITING))
    market = Market.parse(name)
    assert sorted(read.covering(market)) == sorted(block for block in read.blocks if block.target.covers(market))


def test_quarantine_that_ended_is_not_published() -> None:
    assert decode(encode(image(quarantine(state=IsolationState.NORMAL)), **WRITING)).blocks == ()


def test_number_that_is_not_finite_is_not_published() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        encode(image(quarantine(max_fraction=float("nan"))), **WRITING)


@pytest.mark.parametrize(
    ("name", "value"),
    [("block", "nothing"), ("state", "free"), ("kind", "planet"), ("until_us", None), ("max_fraction", "x")],
)
def test_block_of_an_unknown_kind_is_refused_rather_than_read_as_none(name: str, value: object) -> None:
    told = document(image(), **WRITING)
    told["blocks"] = [{**block_record(quarantine()), name: value}]
    for payload in (pack(told), json.dumps(told).encode()):
        with pytest.raises(ValueError):  # noqa: PT011 - any of its texts
            decode(payload)


@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(max_size=3), st.lists, max_leaves=5).map(
    lambda value: json.dumps(value).encode()
))  # fmt: skip
def test_any_other_bytes_are_refused_with_value_error(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any of its texts
        decode(content)


def test_field_of_a_later_guard_is_no_obstacle() -> None:
    told = document(image(quarantine()), **WRITING)
    told["later"] = 1
    told["blocks"][0]["later"] = 1
    told["markets"] = {name: [*found, "later"] for name, found in told["markets"].items()}
    assert len(decode(pack(told)).blocks) == 1
    assert dict(decode(pack(told)).markets).keys() == told["markets"].keys()
