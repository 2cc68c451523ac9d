"""A rule that does not list `alert` at a level tells nobody there, but its blocks are told."""

from __future__ import annotations

from alerts.support import START_US, policy, transition, verdict

from guard.alerts.manager import AlertManager


def test_a_verdict_without_the_action_alert_is_counted_and_sent_nowhere() -> None:
    manager = AlertManager(policy())
    silent = verdict()._replace(alert=False)
    assert manager.process(verdicts=[silent], transitions=[], at_us=START_US) == ()
    assert manager.counts["slack"] == {"events": 1, "suppressed:no_alert_action": 1}
    (sent,) = manager.process(verdicts=[verdict("Y/USDT")], transitions=[], at_us=START_US)
    assert (sent.kind, sent.market) == ("verdict", "sim:Y/USDT")


def test_a_quarantine_is_told_without_the_action_alert() -> None:
    manager = AlertManager(policy())
    (sent,) = manager.process(verdicts=[verdict()._replace(alert=False)], transitions=[transition()], at_us=START_US)
    assert sent.kind == "quarantine"
