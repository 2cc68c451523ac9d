from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml
from dsl.small import CATALOGUE, DETECTORS, FIELDS, RULE
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.dsl import check, compile_rules, load_guard, load_rules, pack_folder, shipped_packs
from guard.dsl.describe import configuration
from guard.errors import ConfigurationError, RuleError
from guard.model import Mode

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from guard.errors import Problem

SMALL = "version: 1\nexchanges:\n  sim: {connector: sim}\n"


def written(folder: Path, text: str, name: str = "guard.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def problems(folder: Path, text: str, env: Mapping[str, str] | None = None) -> tuple[Problem, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load_guard(written(folder, text), env or {})
    return caught.value.problems


def test_defaults_make_a_whole_configuration(tmp_path: Path) -> None:
    config = load_guard(written(tmp_path, SMALL), {})
    assert config.mode is Mode.OBSERVE
    assert config.exchanges["sim"].streams == ("trades", "book")
    assert config.exchanges["sim"].max_markets == 100
    assert config.on_unknown() == {"*": {"guard_silent": False, "feed_stale": False, "warming": True, "not_watched": True}}
    assert config.on_market_wide.pause_entries_us == 600_000_000
    assert config.folder == tmp_path
    assert config.state_folder == tmp_path / ".guard"


def test_every_section_is_read(tmp_path: Path) -> None:
    text = """
version: 1
mode: enforce
rules: rules/*.yaml
exchanges:
  okx: {markets: "*/USDT", exclude: ["*3L/USDT"], quotes: USDT, max_markets: 5, reference: ETH/USDT, urls: {api: "https://x"}}
bots: {freq: {on_unknown: {guard_silent: permit}}}
allow:
  - {symbol: BTC/USDT, until: 2027-01-31, why: core}
  - {market: "okx:A/USDT", until: "2027-01-31T12:00Z", why: core}
alerts:
  channels: {mail: {url: "mailto://a", levels: [danger], daily_max: 3}}
  group: {by: [rule, exchange], wait: 2s}
  repeat: 1h
  quiet_hours: {range: "22:00-07:00", tz: Europe/Rome, except: [critical]}
  digest: 1d
on_market_wide: alert
storage: {path: state, keep: 90d}
http: {listen: "127.0.0.1:8787"}
log: {level: debug, format: json}
"""
    config = load_guard(written(tmp_path, text), {})
    assert config.rules == ("rules/*.yaml",)
    assert [entry.until_us for entry in config.allow] == [1_801_440_000_000_000, 1_801_396_800_000_000]
    assert config.on_market_wide.pause_entries_us is None
    assert config.on_unknown()["freq"]["guard_silent"] is True
    assert config.alerts.quiet_hours is not None
    assert (
        load_guard(written(tmp_path, SMALL + "on_market_wide: pause_entries 5m"), {}).on_market_wide.pause_entries_us == 300_000_000
    )


@pytest.mark.parametrize(
    ("text", "code", "line", "says"),
    [
        ("mode: obsrve", "E023", 4, "did you mean observe?"),
        ("mod: observe", "E020", 4, "did you mean mode?"),
        ("rules: [guard:pump_dmp]", "E028", 4, "no shipped pack"),
        ("rules: [nothing/*.yaml]", "E028", 4, "no rule file matches"),
        ("on_market_wide: pause", "E025", 4, "pause_entries 10m"),
        ("storage: {keep: 90}", "E025", 4, "90d"),
        ("http: {listen: 8787}", "E022", 4, "a text"),
        ("allow: [{symbol: A/B}]", "E021", 4, "'why' is missing"),
        ("allow: [{symbol: A/B, base: A, why: x}]", "E025", 4, "one of"),
        ("allow: [{symbol: A/B, until: soon, why: x}]", "E025", 4, "expected a day"),
        ("alerts: {channels: {x: {url: 'json://a', levels: [dangr]}}}", "E023", 4, "danger"),
        ("alerts: {quiet_hours: {range: 22:00}}", "E025", 4, "expected a text like"),
        ("bots: {b: {on_unknown: {warmin: permit}}}", "E020", 4, "warming"),
        ("log: {level: .nan}", "E023", 4, "expected"),
        ("version: 2", "E004", 4, "already set"),
    ],
)
def test_mistake_in_guard_yaml_has_line_and_hint(tmp_path: Path, text: str, code: str, line: int, says: str) -> None:
    path = written(tmp_path, SMALL + text)
    found = check([path], fields=FIELDS, catalogue=CATALOGUE, detectors=DETECTORS)
    assert [(row.id, row.line) for row in found] == [(code, line)]
    assert says in str(found[0]) or (says == "90d" and "for example" in str(found[0]))


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ("on_market_wide: pause_entries 99d\n", 4, 17, "must be <= 1d, found 'pause_entries 99d'"),
        ("storage: {backups: {every: 1s, size: 1kB}}\n", 4, 28, "must be >= 1m, found '1s'"),
        ("storage: {backups: {size: 1kB}}\n", 4, 27, "must be >= 1MB, found '1kB'"),
        ("lists: {one: {path: x, ttl: 5s}}\n", 4, 29, "must be >= 1m, found '5s'"),
        ("allow:\n  - {base: PEPE/USDT, why: x}\n", 5, 12, "a base asset is written base:PEPE"),
        ("allow:\n  - {symbol: PEPE, why: x}\n", 5, 14, "a symbol is written symbol:PEPE/USDT"),
        ("allow:\n  - {market: PEPE/USDT, why: x}\n", 5, 14, "a market is written exchange:SYMBOL"),
        ("aliases: {BEAMX: beam/x}\n", 4, 18, "expected a text like PEPE, found 'beam/x'"),
    ],
)
def test_a_bound_and_a_target_are_told_in_the_words_of_their_writer(
    tmp_path: Path, text: str, line: int, column: int, says: str
) -> None:
    told = [(each.line, each.column, each.message) for each in problems(tmp_path, SMALL + text)]
    assert any(found[:2] == (line, column) and says in found[2] for found in told), told


def test_a_list_of_wrong_words_is_not_called_empty(tmp_path: Path) -> None:
    (told,) = problems(tmp_path, SMALL + "bots: {a: {sides: [by]}}\n")
    assert told.hint == "did you mean buy?"


def test_all_mistakes_are_found_in_one_run(tmp_path: Path) -> None:
    found = problems(tmp_path, "mode: x\nexchanges: {sim: {streams: [trade], max_markets: 0}}\nlog: {lvl: y}\n")
    assert [(row.id, row.line) for row in found] == [("E023", 1), ("E023", 2), ("E024", 2), ("E020", 3)]
    assert all(row.source and row.file for row in found)


@pytest.mark.parametrize("text", ["", "[]", "x", "{}", "exchanges: {}", "- a"])
def test_hollow_guard_yaml_is_refused(tmp_path: Path, text: str) -> None:
    assert problems(tmp_path, text)


def test_missing_guard_yaml_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_guard(tmp_path / "guard.yaml", {})


def test_references_are_replaced_and_never_shown(tmp_path: Path) -> None:
    written(tmp_path, "canary-file\n", "secret.txt").chmod(0o600)
    text = SMALL + 'alerts: {channels: {a: {url: "tgram://${env:GUARD_TOKEN}/1"}, b: {url: "json://${file:secret.txt}"}}}\n'
    config = load_guard(written(tmp_path, text), {"GUARD_TOKEN": "canary-env"})
    assert config.alerts.channels["a"].url.get_secret_value() == "tgram://canary-env/1"
    assert config.alerts.channels["b"].url.get_secret_value() == "json://canary-file"
    assert "canary" not in repr(config) + str(config) + str(configuration(config, is_redacted=True)) + config.model_dump_json()
    assert "canary-env" in str(configuration(config, is_redacted=False))


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("${env:NOT_SET}", "NOT_SET is not set"),
        ("${file:missing}", "missing cannot be read"),
        ("${file:.}", "not a regular file"),
        ("${what:x}", "is not a reference"),
        ("${}", "is not a reference"),
    ],
)
def test_reference_that_cannot_be_replaced_is_an_error(tmp_path: Path, reference: str, says: str) -> None:
    found = problems(tmp_path, SMALL + f'alerts: {{channels: {{a: {{url: "{reference}"}}}}}}')
    assert [row.id for row in found] == ["E030"]
    assert says in found[0].message


def test_secret_is_never_repeated_in_a_message(tmp_path: Path) -> None:
    text = SMALL + 'mode: "${env:CANARY}"\nlog: {level: "${env:CANARY}"}\nalerts: {channels: {a: {url: [canary-in-file]}}}\n'
    found = problems(tmp_path, text, {"CANARY": "canary-value"})
    assert [row.id for row in found] == ["E023", "E023", "E022"]
    assert "canary" not in "".join(map(str, found)).lower().replace("test_secret", "")


def test_readable_secret_file_is_a_warning(tmp_path: Path) -> None:
    written(tmp_path, "x", "open.txt").chmod(0o644)
    path = written(tmp_path, SMALL + 'alerts: {channels: {a: {url: "json://${file:open.txt}"}}}')
    assert [row.id for row in check([path], fields=FIELDS, catalogue=CATALOGUE, detectors={})] == ["W003"]
    load_guard(path, {})


def test_variables_override_keys(tmp_path: Path) -> None:
    env = {
        "GUARD_MODE": "alert",
        "GUARD_STORAGE__KEEP": "7d",
        "GUARD_EXCHANGES__SIM__MAX_MARKETS": "7",
        "GUARD_EXCHANGES__SIM__MARKETS": '["A/USDT"]',
        "GUARD_STATE": "/somewhere",
        "GUARD_CONFIG": "x",
        "HOME": "/",
    }
    config = load_guard(written(tmp_path, SMALL), env)
    assert config.mode is Mode.ALERT
    assert config.storage.keep_us == 604_800_000_000
    assert (config.exchanges["sim"].max_markets, config.exchanges["sim"].markets) == (7, ("A/USDT",))


@pytest.mark.parametrize(
    ("name", "value", "code", "says"),
    [
        ("GUARD_MODAE", "alert", "E031", "did you mean GUARD_MODE?"),
        ("GUARD_", "x", "E031", "not a key"),
        ("GUARD_MODE", "canary", "E023", "expected"),
        ("GUARD_STORAGE__KEPT", "7d", "E020", "keep"),
        ("GUARD_RULES", "[a", "E031", "not YAML"),
    ],
)
def test_wrong_variable_is_named_and_its_value_is_not_shown(tmp_path: Path, name: str, value: str, code: str, says: str) -> None:
    found = problems(tmp_path, SMALL, {name: value})
    assert [row.id for row in found] == [code]
    assert name in found[0].file
    assert says in str(found[0])
    assert "canary" not in str(found[0])


def test_rules_come_from_globs_with_overrides_of_guard_yaml(tmp_path: Path) -> None:
    written(tmp_path, RULE, "rules/pump.yaml")
    written(tmp_path, "nonsense", "rules/pump.test.yaml")
    config = load_guard(
        written(tmp_path, SMALL + "rules: [rules/*.yaml]\noverride: {pump: {mode: alert, levels: {danger: 75%}}}"), {}
    )
    rules = load_rules(config)
    spec = rules.rules[0].spec
    assert spec is not None
    assert (str(spec.mode), spec.levels.danger, spec.title) == ("alert", 0.75, "Pump")
    assert compile_rules(rules, fields=FIELDS, catalogue=CATALOGUE, detectors=DETECTORS).rules[0].file.endswith("pump.yaml")


def test_override_mistake_points_at_the_override(tmp_path: Path) -> None:
    written(tmp_path, RULE, "rules/pump.yaml")
    path = written(tmp_path, SMALL + "rules: [rules/*.yaml]\noverride:\n  pump:\n    when: retn(1s) > 1%\n    mod: alert\n")
    found = check([path], fields=FIELDS, catalogue=CATALOGUE, detectors=DETECTORS)
    assert [(row.id, row.line, row.column) for row in found if row.severity == "error"] == [("E042", 7, 11), ("E020", 8, 5)]
    assert {row.file for row in found if row.severity == "error"} == {str(path)}


def test_pack_of_overrides_changes_rules_of_another_file_in_any_order(tmp_path: Path) -> None:
    written(tmp_path, "override: {pump: {mode: shadow}}", "rules/a.yaml")
    written(tmp_path, RULE, "rules/b.yaml")
    spec = load_rules([tmp_path / "rules"]).rules[0].spec
    assert spec is not None
    assert str(spec.mode) == "shadow"


def test_same_rule_in_two_files_names_the_first(tmp_path: Path) -> None:
    written(tmp_path, RULE, "rules/a.yaml")
    written(tmp_path, RULE, "rules/b.yaml")
    with pytest.raises(RuleError, match=r"already in .*a\.yaml:5"):
        load_rules([tmp_path / "rules"])


def test_configuration_of_another_name_is_known_by_its_exchanges(tmp_path: Path) -> None:
    path = written(tmp_path, SMALL + "mod: x", "production.yaml")
    assert [row.id for row in check([path], fields=FIELDS, catalogue=CATALOGUE, detectors={})] == ["E020"]
    assert "did you mean mode?" in check([path], fields=FIELDS, catalogue=CATALOGUE, detectors={})[0].hint


def test_folder_without_rules_is_no_silent_success(tmp_path: Path) -> None:
    assert [row.id for row in check([tmp_path], fields=FIELDS, catalogue=CATALOGUE, detectors={})] == ["E028"]
    assert [row.id for row in check([tmp_path / "x.yaml"], fields=FIELDS, catalogue=CATALOGUE, detectors={})] == ["E001"]


def test_shipped_packs_are_found_from_the_checkout() -> None:
    assert pack_folder().name == "rules"
    assert all(path.suffix == ".yaml" and not path.name.endswith(".test.yaml") for path in shipped_packs())


KEYS = [
    "exchanges",
    "sim",
    "markets",
    "streams",
    "alerts",
    "channels",
    "url",
    "bots",
    "allow",
    "on_market_wide",
    "mode",
    "storage",
    "keep",
]
trees = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.sampled_from(["sim", "${env:X}", "${file:..}", "10m", "alert", "*"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner)),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(
    trees, st.dictionaries(st.sampled_from(["GUARD_MODE", "GUARD_EXCHANGES__SIM", "GUARD_X", "GUARD_STORAGE__KEEP__D"]), st.text())
)
def test_any_tree_and_environment_give_a_configuration_or_problems(
    tmp_path_factory: pytest.TempPathFactory, tree: object, env: dict[str, str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "settings.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    try:
        load_guard(path, env)
    except ConfigurationError as error:
        assert error.problems  # noqa: PT017 - an error without a problem tells nobody what to mend


def test_a_key_without_effect_is_told_and_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "guard.yaml"
    path.write_text(
        "exchanges: {x: {}}\nalerts:\n  quiet_hours: {range: 22:00-07:00}\n  group: {wait: 2s}\n  digest: 1d\n"
        "on_market_wide: alert\nstorage: {keep: 30d}\n"
    )
    told = check([path])
    assert [(p.id, p.severity, p.line) for p in told] == [("W004", "warning", 3), ("W004", "warning", 4)]
    config = load_guard(path, {})
    assert config.alerts.quiet_hours is not None
    assert config.warnings == told
