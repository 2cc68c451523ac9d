from typing import TYPE_CHECKING

from guard.model import Batch, Kind
from guard.runtime.inlet import Inlet

if TYPE_CHECKING:
    from collections.abc import Callable


def test_rows_of_one_turn_go_together_and_a_full_batch_goes_at_once() -> None:
    turns: list[Callable[[], None]] = []
    taken: list[list[int]] = []

    def take(batch: Batch) -> None:
        taken.append(list(batch.key[: len(batch)]))

    inlet = Inlet(take, call_soon=turns.append, capacity=3)
    for key in range(5):
        inlet.append(Kind.TRADE, 0, at_us=1, received_us=1, key=key)
    assert taken == [[0, 1, 2]]
    while turns:
        turns.pop(0)()
    assert taken == [[0, 1, 2], [3, 4]]
    inlet.append(Kind.TRADE, 0, at_us=1, received_us=1, key=9)
    assert len(turns) == 1
    assert inlet.received == 6
