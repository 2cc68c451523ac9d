"""The laws of an answer, over all states: what guard loses or adds never opens a door."""

from __future__ import annotations

from client.images import BOOT_ID, MINUTE, START_US, image, quarantine, view
from hypothesis import given
from hypothesis import strategies as st

from guard.client.answer import FOREVER_NS, ON_UNKNOWN, Question, answer, policy_of
from guard.client.payload import Snapshot, decode, encode
from guard.model import Block, Clearance, ClearanceStatus, Image, Intent, IsolationState, Market, Mode, Quarantine, TargetKind

BOOT_NS = 9_000 * 10**9
X = Market("sim", "X/USDT")
DATA = st.sampled_from(["ok", "new", "degraded", "warming", "stale", "maintenance"])
TARGETS = st.sampled_from(
    [(TargetKind.MARKET, "sim:X/USDT"), (TargetKind.BASE, "X"), (TargetKind.EXCHANGE, "sim"), (TargetKind.MARKET, "sim:Y/USDT")]
)
BLOCKS = st.builds(
    lambda target, minutes, **more: quarantine(target[1], kind=target[0], until_us=START_US + minutes * MINUTE, **more),
    TARGETS,
    st.integers(-5, 30),
    state=st.sampled_from([IsolationState.QUARANTINED, IsolationState.PROBATION]),
    block=st.sampled_from(Block),
    is_timed=st.booleans(),
    max_fraction=st.sampled_from([0.1, 0.25, 0.5]),
)
POLICIES = st.fixed_dictionaries({}, optional={reason: st.booleans() for reason in ON_UNKNOWN})
IMAGES = st.builds(
    lambda blocks, data, mode, policy: image(
        *blocks, mode=mode, markets={} if data is None else {"sim:X/USDT": view(data)}, on_unknown={"*": policy}
    ),
    st.lists(BLOCKS, max_size=4),
    st.none() | DATA,
    st.sampled_from(Mode),
    POLICIES,
)
INTENTS = st.sampled_from(Intent)
MINUTES = st.integers(0, 40)


def read(published: Image) -> Snapshot:
    return decode(encode(published, epoch=1, seq=1, durable=True, wall_us=START_US, boot_ns=BOOT_NS, boot_id=BOOT_ID))


def question(published: Image, intent: Intent, *, minutes: float, is_fresh: bool, bypass_s: int = 0) -> Question:
    now_ns = BOOT_NS + int(minutes * 60 * 10**9)
    return Question(
        X, intent, now_ns, START_US, is_fresh=is_fresh, compares_clocks=True, policy=policy_of(read(published), None),
        bypass_end_ns=now_ns + bypass_s * 10**9 if bypass_s else 0,
    )  # fmt: skip


def told(
    published: Image, intent: Intent = Intent.OPEN, *, minutes: float = 0, is_fresh: bool = True, bypass_s: int = 0
) -> Clearance:
    asked = question(published, intent, minutes=minutes, is_fresh=is_fresh, bypass_s=bypass_s)
    return answer(read(published), asked).clearance


@given(published=IMAGES, intent=INTENTS, minutes=MINUTES, is_fresh=st.booleans())
def test_answer_is_consistent_in_itself(published: Image, intent: Intent, minutes: int, *, is_fresh: bool) -> None:
    clearance = told(published, intent, minutes=minutes, is_fresh=is_fresh)
    is_exit = intent in {Intent.REDUCE, Intent.CLOSE, Intent.HEDGE}
    if is_exit or published.mode is not Mode.ENFORCE:
        assert clearance.permitted
        assert clearance.max_fraction == 1.0
    else:
        assert clearance.permitted is not clearance.would_block
    if is_exit:
        assert not clearance.would_block
    if clearance.status is ClearanceStatus.BLOCKED:
        assert clearance.quarantine_id
        assert clearance.would_block is not is_exit
    if clearance.status is ClearanceStatus.UNKNOWN:
        assert clearance.reason in ON_UNKNOWN
    else:
        assert is_fresh or clearance.status is ClearanceStatus.BLOCKED


@given(published=IMAGES, block=BLOCKS, minutes=MINUTES, is_fresh=st.booleans())
def test_one_block_more_never_permits_more(published: Image, block: Quarantine, minutes: int, *, is_fresh: bool) -> None:
    before = told(published, minutes=minutes, is_fresh=is_fresh)
    after = told(published._replace(blocks=(*published.blocks, block)), minutes=minutes, is_fresh=is_fresh)
    assert after.permitted <= before.permitted
    assert after.would_block >= before.would_block
    if after.permitted:
        assert after.max_fraction <= before.max_fraction


@given(IMAGES.map(lambda published: published._replace(on_unknown={})), MINUTES)
def test_silence_never_permits_what_a_live_guard_refuses(published: Image, minutes: int) -> None:
    live, silent = (told(published, minutes=minutes, is_fresh=is_fresh) for is_fresh in (True, False))
    assert silent.permitted <= live.permitted
    assert (silent.status is ClearanceStatus.BLOCKED) is (live.status is ClearanceStatus.BLOCKED)


@given(published=IMAGES, intent=INTENTS, minutes=MINUTES, is_fresh=st.booleans(), bypass_s=st.sampled_from([1, 59, 3600]))
def test_bypass_permits_all_and_hides_nothing(
    published: Image, intent: Intent, minutes: int, bypass_s: int, *, is_fresh: bool
) -> None:
    bound = told(published, intent, minutes=minutes, is_fresh=is_fresh)
    free = told(published, intent, minutes=minutes, is_fresh=is_fresh, bypass_s=bypass_s)
    assert free._replace(permitted_by="") == bound._replace(permitted=True, bypassed=True, max_fraction=1.0, permitted_by="")


@given(published=IMAGES, intent=INTENTS, minutes=st.integers(0, 5), is_fresh=st.booleans(), later_s=st.integers(0, 40 * 60))
def test_answer_is_the_same_at_every_moment_before_it_expires(
    published: Image, intent: Intent, minutes: int, later_s: int, *, is_fresh: bool
) -> None:
    first = answer(read(published), question(published, intent, minutes=minutes, is_fresh=is_fresh))
    asked = question(published, intent, minutes=minutes + later_s / 60, is_fresh=is_fresh)
    if asked.now_ns < first.expires_ns:
        assert answer(read(published), asked).clearance == first.clearance
    assert first.expires_ns > BOOT_NS


def test_answer_without_a_deadline_never_expires() -> None:
    assert answer(read(image()), question(image(), Intent.OPEN, minutes=0, is_fresh=True)).expires_ns == FOREVER_NS


def test_market_of_an_exchange_whose_markets_nobody_knows_is_stale_or_warming_not_unwatched() -> None:
    asked = told(image(markets={})._replace(unreached={"sim": view("stale")}))
    assert (asked.status, asked.reason, asked.permitted) == (ClearanceStatus.UNKNOWN, "feed_stale", False)
    assert told(image(markets={})._replace(unreached={"sim": view("warming")})).reason == "warming"
    assert told(image(markets={})._replace(unreached={"okx": view("stale")})).reason == "not_watched"
    assert told(image(markets={"sim:X/USDT": view()})._replace(unreached={"sim": view("stale")})).status == ClearanceStatus.ALLOWED
