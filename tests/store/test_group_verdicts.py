"""The audit of verdicts on groups."""

from __future__ import annotations

import json

from guard.model import Decision, GroupStand, Level, Market, Per, RiskScore, RuleMode, Verdict
from guard.store.chain import GENESIS, Verified, audit_rows, follow


def test_a_verdict_on_a_group_is_kept_under_the_name_of_the_group_with_its_members() -> None:
    tipped = Market("okx", "B/USDT")
    group = GroupStand(Per.EXCHANGE, "okx", (Market("okx", "A/USDT"), tipped), 3, 3, 9)
    risk = RiskScore(0.8, ())
    verdict = Verdict(5, tipped, "storm", Level.DANGER, Level.NORMAL, RuleMode.ENFORCE, risk, (), 5, group=group)
    alone = verdict._replace(group=None)
    rows = audit_rows([Decision(5, (verdict, alone), log=(verdict, alone))], seq=0, head=GENESIS)
    follow(rows, Verified(0, 0, GENESIS))
    assert [row.target for row in rows] == ["exchange:okx", "okx:B/USDT"]
    first, second = (json.loads(row.document) for row in rows)
    assert first["market"] == "okx:B/USDT"
    assert first["group"] == {
        "per": "exchange",
        "name": "okx",
        "members": ["okx:A/USDT", "okx:B/USDT"],
        "more": 1,
        "held": 3,
        "needed": 3,
        "of": 9,
    }
    assert "group" not in second
