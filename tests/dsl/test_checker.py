from __future__ import annotations

import pytest
from dsl.small import condition, program

from guard.errors import RuleError


def problem(text: str) -> tuple[str, str, str]:
    with pytest.raises(RuleError) as caught:
        condition(text)
    first = caught.value.problems[0]
    assert first.line == 5
    return first.id, first.message, first.hint


@pytest.mark.parametrize(
    ("text", "code", "says", "hint"),
    [
        ("retn(60s) > 1%", "E042", "unknown name 'retn'", "did you mean ret?"),
        ("ret(60) > 1%", "E043", "wants a duration", "did you mean 60s?"),
        ("ret() > 1%", "E043", "lacks w", "60s"),
        ("ret(60s, 1s) > 1%", "E043", "takes one", "ret(w)"),
        ("ret(5%) > 1%", "E043", "wants a duration", "60s"),
        ("ret(0s) > 1%", "E043", "longer than 0", ""),
        ("ret(500d) > 1%", "E043", "at most 400d", ""),
        ("ret(60s) > 3", "E046", "a ratio compared with 3 is 300%", "did you mean 3%?"),
        ("-3 < ret(60s)", "E046", "300%", "did you mean 3%?"),
        ("ramp(ret(60s), 1, 4) > 0.5", "E046", "400%", "did you mean 4%?"),
        ("age(of=book) > 5", "E045", "has no unit", "did you mean 5s?"),
        ("ret(60s) > 5s", "E045", "do not go together", ""),
        ("vol_z(60s) > 4%", "E045", "do not go together", ""),
        ("volume_usd(60s) > volume(60s)", "E045", "do not go together", ""),
        ("depth(20bp, side=bidd) > 1", "E043", "cannot be 'bidd'", "did you mean bid?"),
        ("depth(20bp, sid=bid) > 1", "E043", "knows no sid=", "did you mean side?"),
        ("depth(20bp, band=1%) > 1", "E043", "twice", ""),
        ("depth(band=20) > 1", "E043", "wants a ratio", "20bp"),
        ("ret(60s)", "E044", "expected a condition", "compare it"),
        ("ret(60s) and true", "E044", "expected a condition", ""),
        ("not 3 > 2 > crossed", "E044", "compared with", ""),
        ("crossed + 1 > 2", "E044", "expected a number", "number(condition)"),
        ("crossed > 1", "E044", "compared with", ""),
        ("crossed == crossed", "E044", "cannot be compared", ""),
        ("market.class == spott", "E023", "never 'spott'", "did you mean spot?"),
        ("market.class in [spott, perp]", "E023", "never 'spott'", "did you mean spot?"),
        ("market.symbol < 'A'", "E044", "== and !=", ""),
        ("market.symbol in $major", "E047", "unknown list", "lists:"),
        ("market.simbol == x", "E042", "unknown name", "market.symbol"),
        ("ret(60s) in [a]", "E044", "expected a text", ""),
        ("score > 0.5", "E042", "clear: and release:", ""),
        ("min(1) > 0", "E043", "wants 2", "min(x, y)"),
        ("abs(x=1) > 0", "E043", "by name", "abs(x)"),
        ("ramp(ret(1s), 1%, 1%) > 0", "E043", "different bounds", ""),
        ("known(market.symbol)", "E044", "cannot take", ""),
        ("default(crossed, 1)", "E044", "cannot take", ""),
        ("ret(age(of=book)) > 1%", "E049", "must be fixed", ""),
        ("spread() > 1% and", "E040", "expected a value", ""),
    ],
)
def test_mistake_is_explained_with_a_hint(text: str, code: str, says: str, hint: str) -> None:
    found = problem(text)
    assert found[0] == code
    assert says in found[1]
    assert hint in found[2]


@pytest.mark.parametrize(
    "text",
    [
        "ret(60s) > 3x",
        "ret(60s) > 300%",
        "spread() / spread() > 3",
        "ret(w=60s) > 0",
        "volume_usd(60s) > 20M",
        "volume_usd(60s) / volume_usd(1h) > 3",
        "ret(60s) * 2 > 1%",
        "spread > 1% and crossed and is_wide",
        "depth(20bp, bid) > depth(20bp, side='bid') * 2 or true",
        "corr(BTC/USDT, 1h) > 0.5",
        "corr('BTC/USDT:USDT', 1h) > 0.5",
        "1% < ret(60s) <= 5%",
        "default(crossed, false) or true",
        "market.class != spot and 'meme' in market.tags",
        "meme in market.tags",
        "market.base in [BTC, ETH]",
        "market.symbol in [BTC/USDT, 'ETH/USDT']",
        "number(crossed) * 2 > 1",
        "clamp(ret(60s), 0, 1%) < 1%",
        "max(ret(1s), ret(2s), 0.01) > 1%",
        "ret(60s * 2) > 1%",
        "age(of=book) > 5s",
    ],
)
def test_sound_expression_is_accepted(text: str) -> None:
    assert condition(text).rules[0].id == "one"


def test_all_mistakes_of_an_expression_are_found() -> None:
    with pytest.raises(RuleError) as caught:
        condition("retn(1s) > 1% and spreed() > 1% and ret(60) > 2%")
    assert [(row.id, row.column) for row in caught.value.problems] == [("E042", 12), ("E042", 30), ("E043", 52)]


def test_names_defined_by_each_other_are_a_cycle() -> None:
    with pytest.raises(RuleError, match="defined by itself"):
        program("rules: {one: {level: danger, when: a > 1, let: {a: b + 1, b: a * 2}}}")
    with pytest.raises(RuleError, match="defined by itself"):
        program("macros: {m: m and m}\nrules: {one: {level: danger, when: m}}")


def test_macros_that_double_stay_small() -> None:
    lines = "".join(f"  m{n}: m{n - 1} and m{n - 1}\n" for n in range(1, 40))
    made = program(f"macros:\n  m0: ret(1s) > 1%\n{lines}rules: {{one: {{level: danger, when: m39}}}}")
    assert len(made.leaves) == 1


@pytest.mark.parametrize("deep", ["m{}", "not (not (not (not (1 < 2 and (1 < 2 or m{})))))"])
def test_long_chains_of_names_are_refused_and_never_exhaust_the_stack(deep: str) -> None:
    lines = "".join(f"  m{n}: '{deep.format(n - 1)}'\n" for n in range(1, 400))
    with pytest.raises(RuleError) as caught:
        program(f"macros:\n  m0: ret(1s) > 1%\n{lines}rules: {{one: {{level: danger, when: m399}}}}")
    assert {row.id for row in caught.value.problems} == {"E041"}


def test_equal_parts_are_read_once() -> None:
    made = program()
    assert len(set(made.leaves)) == len(made.leaves)
    assert sum(leaf.field == "ret" for leaf in made.leaves) == 2


def test_duration_argument_passes_through_features() -> None:
    leaves = condition("vol_z(30s, baseline=1h) > 1 and buy_share(10s) > 50%").leaves
    assert {str(leaf) for leaf in leaves} == {
        "volume(30000000)",
        "volume(3600000000)",
        "volume(10000000)",
        "buy_volume(10000000)",
        "trades(10000000)",
    }
