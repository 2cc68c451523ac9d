"""What may be shown before it is durable."""

from hypothesis import given
from hypothesis import strategies as st
from quarantine.holds import HOUR, MINUTE, ON_X, X, hold

from guard.model import Block, IsolationState, ReleaseQuarantine, Transition
from guard.quarantine import IsolationManager, VisibleBlocks


def test_a_new_block_is_shown_and_a_release_waits() -> None:
    manager = IsolationManager()
    opening = manager.quarantine(hold(), 0)
    visible = VisibleBlocks()
    assert visible.show() == ()
    assert visible.show(opening) == manager.active()
    visible.commit(opening)
    released = manager.operate(ReleaseQuarantine(ON_X, None, "", "ann"), MINUTE)
    assert visible.show(released) == visible.show() != ()
    visible.commit(released)
    assert visible.show() == ()


def test_a_longer_end_is_shown_and_probation_waits() -> None:
    manager = IsolationManager()
    visible = VisibleBlocks()
    visible.commit(manager.quarantine(hold(), 0))
    (extend,) = manager.advance(40 * MINUTE - 1)
    assert visible.show([extend])[0].until_us == extend.quarantine.until_us
    visible.commit([extend])
    manager.calm("pump_dump", X, 39 * MINUTE + 45_000_000, is_calm=True)
    (probation,) = manager.advance(50 * MINUTE)
    assert probation.cause == "calm"
    (shown,) = visible.show([probation])
    assert (shown.block, shown.until_us) == (Block.ENTRIES, probation.quarantine.until_us)


@given(st.data())
def test_waiting_transitions_never_loosen_what_is_committed(data: st.DataObject) -> None:
    manager = IsolationManager()
    told: list[Transition] = []
    for at_us in sorted(data.draw(st.lists(st.integers(0, 10 * HOUR), max_size=20))):
        told += manager.advance(at_us)
        action = data.draw(st.sampled_from(["hold", "calm", "noise", "release"]))
        if action == "hold":
            told += manager.quarantine(hold(max_us=HOUR), at_us)
        elif action == "release" and manager.active():
            told += manager.operate(ReleaseQuarantine(ON_X, None, "", "ann", 0), at_us)
        else:
            told += manager.calm("pump_dump", X, at_us, action == "calm")
    cut = data.draw(st.integers(0, len(told)))
    visible = VisibleBlocks()
    visible.commit(told[:cut])
    after = {each.id: each for each in visible.show(told[cut:])}
    for before in visible.show():
        assert after[before.id].until_us >= before.until_us
        if after[before.id].block is Block.SHRINK and before.block is Block.ENTRIES:
            assert any(each.at_us >= before.until_us for each in told[cut:] if each.quarantine.id == before.id)
    visible.commit(told[cut:])
    assert visible.show() == tuple(each for each in manager.active() if each.state is not IsolationState.NORMAL)
