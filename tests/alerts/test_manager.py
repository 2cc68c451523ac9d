"""Who is told what, and how often."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerts.support import DAY_US, MINUTE_US, START_US, channel, policy, transition, verdict

from guard.alerts.manager import AlertManager
from guard.alerts.policy import AlertPolicy, alert_policy
from guard.dsl.settings import AlertSettings
from guard.model import IsolationState, Level, Mode, RuleMode, Target, TargetKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.model import Delivery, Transition, Verdict

NORMAL, QUARANTINED, PROBATION = IsolationState.NORMAL, IsolationState.QUARANTINED, IsolationState.PROBATION
WARNING, DANGER, CRITICAL = Level.WARNING, Level.DANGER, Level.CRITICAL


def step(
    manager: AlertManager, *, verdicts: Sequence[Verdict] = (), transitions: Sequence[Transition] = (), at_us: int = START_US
) -> tuple[Delivery, ...]:
    return manager.process(verdicts=verdicts, transitions=transitions, at_us=at_us)


def test_quarantine_is_pushed_once_with_the_reason_and_the_commands() -> None:
    manager = AlertManager(policy())
    (sent,) = step(manager, verdicts=[verdict()], transitions=[transition()])
    identity = transition().quarantine.id
    assert (sent.kind, sent.channel, sent.level, sent.alert_id, sent.market) == (
        "quarantine",
        "slack",
        DANGER,
        identity,
        "sim:X/USDT",
    )
    for words in (
        "Level danger, score 0.84, rule pump_dump",
        "Mainly volume_anomaly = 0.95",
        "Then price_volatility = 0.9",
        "ret(60s) = 0.041; buy_share(60s) = unknown",
        "Blocked: entries only; exits always pass",
        "Until 2024-10-04 00:30:00 UTC",
        "guard why sim:X/USDT",
        f"guard quarantine release {identity}",
    ):
        assert words in sent.body
    assert manager.counts["slack"] == {"events": 2, "sent": 1, "suppressed:covered": 1}


def test_warning_waits_for_the_digest_unless_a_channel_lists_it() -> None:
    manager = AlertManager(policy(channel("slack"), channel("mail", WARNING)))
    sent = step(manager, verdicts=[verdict(level=WARNING, mode=RuleMode.ALERT)])
    assert [each.channel for each in sent] == ["mail"]
    (digest,) = manager.advance(START_US + DAY_US)
    assert (digest.channel, digest.kind, digest.created_us) == ("slack", "summary", START_US + DAY_US)
    assert "verdict, warning: 1" in digest.body
    assert "sim:X/USDT: 1" in digest.body
    assert manager.advance(START_US + 3 * DAY_US) == ()


def test_each_level_may_have_its_own_channel() -> None:
    manager = AlertManager(policy(channel("mail", WARNING), channel("chat", DANGER), channel("pager", CRITICAL)))
    for number, (level, name) in enumerate([(WARNING, "mail"), (DANGER, "chat"), (CRITICAL, "pager")]):
        sent = step(manager, verdicts=[verdict(f"X{number}/USDT", level, mode=RuleMode.ALERT)])
        assert [each.channel for each in sent] == [name]


def test_critical_goes_to_the_highest_channel_when_none_lists_it() -> None:
    manager = AlertManager(policy(channel("mail", WARNING), channel("chat", DANGER)))
    sent = step(manager, transitions=[transition(level=CRITICAL)])
    assert [each.channel for each in sent] == ["chat"]


def test_quarantine_at_warning_level_is_pushed_as_a_block() -> None:
    (sent,) = step(AlertManager(policy()), transitions=[transition(level=WARNING)])
    assert sent.level is WARNING


def test_shadow_rule_never_alerts() -> None:
    manager = AlertManager(policy(channel("mail", WARNING, DANGER, CRITICAL)))
    assert step(manager, verdicts=[verdict(level=CRITICAL, mode=RuleMode.SHADOW)]) == ()
    assert manager.counts["mail"] == {"events": 1, "suppressed:shadow": 1}
    assert manager.next_deadline_us is None


def test_alert_rule_pushes_danger_without_a_block() -> None:
    (sent,) = step(AlertManager(policy()), verdicts=[verdict(mode=RuleMode.ALERT)])
    assert sent.kind == "verdict"
    assert "Nothing is blocked (mode alert)" in sent.body


def test_episode_is_told_again_only_when_its_level_rises() -> None:
    manager = AlertManager(policy(channel("chat", WARNING, DANGER, CRITICAL)))
    levels = [(WARNING, Level.NORMAL), (DANGER, WARNING), (CRITICAL, DANGER), (Level.NORMAL, CRITICAL)]
    kinds = [
        [
            each.level
            for each in step(
                manager,
                verdicts=[verdict(level=level, previous=previous, mode=RuleMode.ALERT, episode_us=START_US, at_us=START_US + n)],
                at_us=START_US + n,
            )
        ]
        for n, (level, previous) in enumerate(levels)
    ]
    assert kinds == [[WARNING], [DANGER], [CRITICAL], []]
    assert manager.counts["chat"]["suppressed:cleared"] == 1


def test_rise_after_the_quarantine_says_that_it_is_already_blocked() -> None:
    manager = AlertManager(policy())
    step(manager, verdicts=[verdict(episode_us=1)], transitions=[transition()])
    rise = verdict(level=CRITICAL, previous=DANGER, episode_us=1, at_us=START_US + 5)
    (sent,) = step(manager, verdicts=[rise], at_us=START_US + 5)
    assert f"Already in quarantine {transition().quarantine.id}. Blocked: entries only" in sent.body


def test_new_episode_of_the_same_rule_and_market_within_four_hours_waits_for_the_digest() -> None:
    manager = AlertManager(policy())
    pushes = [
        len(step(manager, verdicts=[verdict(mode=RuleMode.ALERT, at_us=at_us)], at_us=at_us))
        for at_us in (START_US, START_US + 60 * MINUTE_US, START_US + 250 * MINUTE_US)
    ]
    assert pushes == [1, 0, 1]


def test_end_is_told_only_to_those_who_know_of_the_beginning() -> None:
    manager = AlertManager(policy(channel("chat", DANGER), channel("pager", CRITICAL)))
    step(manager, transitions=[transition()])
    probation = transition(state=PROBATION, previous=QUARANTINED, cause="calm", at_us=START_US + 1)
    end = transition(state=NORMAL, previous=PROBATION, cause="probation_end", at_us=START_US + 2)
    (first,) = step(manager, transitions=[probation], at_us=START_US + 1)
    (second,) = step(manager, transitions=[end], at_us=START_US + 2)
    assert (first.channel, first.kind, second.channel, second.kind) == ("chat", "release", "chat", "release")
    assert "entries limited to 25%" in first.body
    assert "Nothing is blocked any more" in second.body


def test_end_of_a_quarantine_nobody_was_told_of_stays_silent() -> None:
    manager = AlertManager(policy())
    assert step(manager, transitions=[transition(state=NORMAL, previous=QUARANTINED, cause="operator")]) == ()
    assert manager.counts["slack"] == {"events": 1, "suppressed:not_told": 1}


def test_extension_stays_silent_and_reoffence_is_pushed() -> None:
    manager = AlertManager(policy())
    step(manager, transitions=[transition()])
    assert step(manager, transitions=[transition(previous=QUARANTINED, cause="extend")], at_us=START_US + 1) == ()
    (again,) = step(manager, transitions=[transition(previous=PROBATION, cause="reoffence")], at_us=START_US + 2)
    assert again.kind == "quarantine"


def test_twelve_quarantines_of_one_zone_in_one_step_are_one_message() -> None:
    manager = AlertManager(policy())
    (sent,) = step(manager, transitions=[transition(f"A{n}/USDT", zone="z1") for n in range(12)])
    assert sent.title == "[DANGER] sim:A0/USDT and 11 more quarantined in one incident"
    assert "and 2 more" in sent.body
    assert manager.counts["slack"] == {"events": 12, "sent": 12}


def test_one_market_that_two_rules_hold_in_one_incident_counts_once_in_the_title() -> None:
    manager = AlertManager(policy())
    both = [transition("A/USDT", zone="z", rule=rule) for rule in ("pump_dump", "spoofing")]
    (sent,) = step(manager, transitions=both)
    assert sent.title == "[DANGER] sim:A/USDT quarantined in one incident"
    assert all(rule in sent.body for rule in ("pump_dump", "spoofing"))


def test_quarantines_without_a_zone_are_told_one_by_one() -> None:
    assert len(step(AlertManager(policy()), transitions=[transition(f"A{n}/USDT") for n in range(3)])) == 3


def test_later_quarantines_of_a_zone_come_together_after_a_minute() -> None:
    manager = AlertManager(policy())
    step(manager, transitions=[transition("A/USDT", zone="z")])
    for n in range(3):
        assert step(manager, transitions=[transition(f"B{n}/USDT", zone="z", at_us=START_US + n)], at_us=START_US + n) == ()
    assert manager.counts["slack"]["waiting"] == 3
    assert manager.next_deadline_us == START_US + MINUTE_US
    (sent,) = manager.advance(START_US + 2 * MINUTE_US)
    assert sent.title == "[DANGER] sim:B0/USDT and 2 more quarantined too, in the same incident"
    assert sent.created_us == START_US + MINUTE_US


def test_zone_that_is_free_again_is_told_once() -> None:
    manager = AlertManager(policy())
    step(manager, transitions=[transition(f"A{n}/USDT", zone="z") for n in range(3)])
    sent = [
        step(manager, transitions=[transition(f"A{n}/USDT", NORMAL, previous=QUARANTINED, zone="z")], at_us=START_US + n + 1)
        for n in range(3)
    ]
    assert [len(each) for each in sent] == [0, 0, 1]
    assert "the last market of its incident" in sent[2][0].title


def test_eleventh_push_of_a_day_becomes_one_summary_and_a_digest() -> None:
    manager = AlertManager(policy(channel(daily_max=10)))
    sent = [
        each
        for n in range(25)
        for each in step(manager, transitions=[transition(f"A{n}/USDT", at_us=START_US + n)], at_us=START_US + n)
    ]
    assert [each.kind for each in sent] == ["quarantine"] * 10 + ["summary"]
    assert "1 more held back" in sent[-1].title
    (digest,) = manager.advance(START_US + DAY_US)
    assert "Held back by the limit of 10 messages a day: 15" in digest.body
    (next_day,) = step(manager, transitions=[transition("B/USDT")], at_us=START_US + DAY_US + 1)
    assert next_day.kind == "quarantine"


def test_one_step_beyond_the_limit_counts_all_it_held_back() -> None:
    manager = AlertManager(policy(channel(daily_max=2)))
    sent = step(manager, transitions=[transition(f"A{n}/USDT") for n in range(9)])
    assert [each.kind for each in sent] == ["quarantine", "quarantine", "summary"]
    assert "7 more held back" in sent[-1].title


def test_storm_of_market_alerts_leaves_room_for_guards_own_trouble() -> None:
    manager = AlertManager(policy(channel(daily_max=2)))
    step(manager, transitions=[transition(f"A{n}/USDT") for n in range(9)])
    (sent,) = manager.system("ledger", "the ledger is full", "no space left", CRITICAL, START_US + 1)
    assert sent.kind == "system"


def test_system_trouble_is_told_when_it_changes_and_when_it_ends() -> None:
    manager = AlertManager(policy(channel("chat", DANGER, CRITICAL), channel("pager", CRITICAL)))
    events = [
        ("no data", DANGER),
        ("no data", DANGER),
        ("no data", CRITICAL),
        ("data is back", Level.NORMAL),
        ("data is back", Level.NORMAL),
    ]
    sent = [
        [each.channel for each in manager.system("feed:okx", title, "since 12:00", level, START_US + n)]
        for n, (title, level) in enumerate(events)
    ]
    assert sent == [["chat"], [], ["chat", "pager"], ["chat", "pager"], []]


def test_observe_pushes_nothing_but_guards_own_trouble() -> None:
    manager = AlertManager(policy(mode=Mode.OBSERVE))
    assert step(manager, verdicts=[verdict()], transitions=[transition()]) == ()
    assert len(manager.system("feed", "no data", "", DANGER, START_US)) == 1
    (digest,) = manager.advance(START_US + DAY_US)
    assert "quarantine, danger: 1" in digest.body


def test_alert_mode_says_that_nothing_is_blocked() -> None:
    (sent,) = step(AlertManager(policy(mode=Mode.ALERT)), transitions=[transition()])
    assert "Not blocked, guard's mode is alert; enforce would block: entries only" in sent.body


def test_no_channel_is_a_counted_reason() -> None:
    manager = AlertManager(AlertPolicy(()))
    assert step(manager, transitions=[transition()]) == ()
    assert manager.counts == {"-": {"events": 1, "suppressed:no_channel": 1}}


def test_day_ends_at_its_own_time_before_the_event_that_passes_it() -> None:
    manager = AlertManager(policy())
    step(manager, verdicts=[verdict(level=WARNING)])
    sent = step(manager, transitions=[transition()], at_us=START_US + DAY_US + 7)
    assert [(each.kind, each.created_us) for each in sent] == [
        ("summary", START_US + DAY_US),
        ("quarantine", START_US + DAY_US + 7),
    ]


def test_restored_manager_keeps_the_daily_limit_and_ends_what_it_told() -> None:
    manager = AlertManager(policy(channel(daily_max=3)))
    told = step(manager, transitions=[transition("A/USDT"), transition("B/USDT")])
    told += manager.system("feed", "no data", "", DANGER, START_US + 1)
    fresh = AlertManager(policy(channel(daily_max=3)))
    fresh.restore((*told, *told), [transition("A/USDT").quarantine])
    assert fresh.system("feed", "no data", "", DANGER, START_US + 2) == ()
    end = transition("A/USDT", NORMAL, previous=QUARANTINED, at_us=START_US + 3)
    assert [each.kind for each in step(fresh, transitions=[end], at_us=START_US + 3)] == ["release"]
    assert [each.kind for each in step(fresh, transitions=[transition("C/USDT")], at_us=START_US + 4)] == ["summary"]


def test_same_level_of_an_episode_that_a_quarantine_told_is_not_told_again() -> None:
    manager = AlertManager(policy())
    step(manager, verdicts=[verdict(episode_us=1)], transitions=[transition()])
    again = verdict(previous=WARNING, episode_us=1, at_us=START_US + 5)
    assert step(manager, verdicts=[again], at_us=START_US + 5) == ()
    assert manager.counts["slack"]["digested"] == 1


def test_quarantine_that_ended_while_it_waited_for_its_zone_is_not_told() -> None:
    manager = AlertManager(policy())
    step(manager, transitions=[transition("A/USDT", zone="z")])
    step(manager, transitions=[transition("B/USDT", zone="z")], at_us=START_US + 1)
    step(manager, transitions=[transition("B/USDT", NORMAL, previous=QUARANTINED, zone="z")], at_us=START_US + 2)
    assert manager.advance(START_US + 2 * MINUTE_US) == ()
    assert manager.counts["slack"]["suppressed:ended"] == 1


def test_critical_message_lives_a_day_and_others_an_hour() -> None:
    sent = step(AlertManager(policy()), transitions=[transition("A/USDT"), transition("B/USDT", level=CRITICAL)])
    assert [each.expires_us - each.created_us for each in sent] == [60 * MINUTE_US, DAY_US]


def test_restored_manager_knows_what_is_held() -> None:
    manager = AlertManager(policy())
    manager.restore((), [transition().quarantine])
    (sent,) = step(manager, verdicts=[verdict(level=CRITICAL)])
    assert "Already in quarantine" in sent.body


def test_channel_with_named_rules_hears_of_no_other_rule() -> None:
    manager = AlertManager(policy(channel("all"), channel("wash")._replace(rules=("wash_*",))))
    sent = step(manager, transitions=[transition("A/USDT"), transition("B/USDT", rule="wash_trading")])
    assert [(each.channel, each.rule) for each in sent] == [("all", "pump_dump"), ("all", "wash_trading"), ("wash", "wash_trading")]
    assert manager.counts["wash"]["suppressed:other_rule"] == 1
    assert [each.channel for each in manager.system("feed", "no data", "", DANGER, START_US + 1)] == ["all", "wash"]


def test_policy_is_read_from_the_settings() -> None:
    settings = AlertSettings.model_validate(
        {"channels": {"chat": {"url": "json://x", "levels": ["danger"], "rules": ["pump_*"], "daily_max": 3}}}
    )
    read = alert_policy(settings, Mode.ALERT)
    (only,) = read.channels
    assert (read.mode, only.name, only.levels, only.daily_max, only.rules) == (Mode.ALERT, "chat", {DANGER}, 3, ("pump_*",))


def test_a_hold_on_an_asset_names_who_ordered_it_and_only_commands_that_work() -> None:
    found = transition(cause="operator")
    hold = found.quarantine.hold._replace(rule="operator", target=Target(TargetKind.BASE, "PEPE"), reason="news")
    ordered = found._replace(actor="ann", quarantine=found.quarantine._replace(hold=hold))
    (sent,) = step(AlertManager(policy()), transitions=[ordered])
    for words in ("Target base:PEPE", "Ordered by ann", f"guard quarantine show {found.quarantine.id}", '--reason "..."'):
        assert words in sent.body
    assert "guard why" not in sent.body


def test_the_end_of_a_hold_on_an_asset_points_at_the_history_for_it_is_held_no_more() -> None:
    manager = AlertManager(policy())
    target = Target(TargetKind.BASE, "PEPE")
    begun = transition(cause="operator")
    held = begun.quarantine._replace(hold=begun.quarantine.hold._replace(rule="operator", target=target))
    step(manager, transitions=[begun._replace(quarantine=held)])
    over = transition(state=NORMAL, previous=QUARANTINED, cause="floor")._replace(quarantine=held._replace(state=NORMAL))
    (sent,) = step(manager, transitions=[over], at_us=START_US + MINUTE_US)
    assert sent.title.startswith("[RELEASED] base:PEPE")
    assert "guard quarantine history" in sent.body
    assert "guard quarantine show" not in sent.body
