"""A part of `make ledger-machine`."""

from store.machine import Machine, campaign


def test_the_ledger_is_what_the_reference_says_after_every_step() -> None:
    campaign(400, 7)
    assert Machine.seen & {"adopted", "rebuilt"}
