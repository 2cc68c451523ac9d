"""The example of docs/detectors/own.md: installed as a package of somebody else, found, checked, and run."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from detection.own import MARKETS, START, batch, tape

from guard.cli.main import main
from guard.cli.output import Exit
from guard.dsl import compile_rules, load_rules
from guard.dsl.tables import InstalledDetectors
from guard.errors import RuleError
from guard.model import Level
from guard.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[1] / "docs" / "detectors" / "own.md"
BLOCKS = dict(re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))
RISING = {second: 100.0 * 1.005 ** max(0, second - 90) for second in range(1, 130)}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield the folder of the example's rule; its package is installed as an installer would do it."""
    site = tmp_path / "site"
    project = tomllib.loads(BLOCKS["toml"])["project"]
    record = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = project["entry-points"]["guard.detectors"]
    (record / "entry_points.txt").write_text(
        "[guard.detectors]\n" + "".join(f"{name} = {place}\n" for name, place in points.items())
    )
    (site / "lonely_buyer.py").write_text(BLOCKS["python"])
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "lonely_buyer.yaml").write_text(BLOCKS["yml"])
    monkeypatch.syspath_prepend(site)
    yield rules
    sys.modules.pop("lonely_buyer", None)


def test_it_is_found_by_its_entry_point_beside_those_of_guard(installed: Path) -> None:
    assert installed.is_dir()
    found = InstalledDetectors()
    assert {"lonely_buyer", "pump_dump"} <= set(found)
    assert found["lonely_buyer"].name == "lonely_buyer"


def test_the_example_is_short() -> None:
    code = [line for line in BLOCKS["python"].splitlines() if line.strip()]
    assert len(code) <= 25


def test_its_level_rises_where_one_buyer_lifts_the_price_and_only_there(installed: Path) -> None:
    pipeline = Pipeline(compile_rules(load_rules([installed])))
    for facts in MARKETS:
        pipeline.open(facts)
    rows = [row for row in tape(RISING, seconds=130) if row["market"] == 0 or row["at_us"] < START + 90_000_000]
    decision = pipeline.process(batch(rows))
    assert [verdict.level for verdict in decision.verdicts] == [Level.WARNING, Level.DANGER, Level.CRITICAL]
    assert {verdict.market for verdict in decision.verdicts} == {MARKETS[0].market}
    verdict = decision.verdicts[0]
    assert verdict.findings[0].detector == "lonely_buyer"
    assert set(verdict.findings[0].evidence) == {"bought", "rise"}
    (call,) = pipeline.engine.program.plain_detectors
    assert call.calls > 0
    assert call.faults == 0


@pytest.mark.parametrize("command", [["rules", "check"], ["--json", "rules", "check"]])
def test_the_command_line_finds_it(installed: Path, command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*command, str(installed)])
    assert caught.value.code == Exit.OK, capsys.readouterr().out


def test_replay_tells_of_its_faults(installed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = tmp_path / "site" / "lonely_buyer.py"
    module.write_text(module.read_text().replace("features.trades / 50.0", "features.trades / (self.share - self.share)"))
    lines = [
        f"A/USDT,{START // 1000 + second * 1000},buy,{price},1"
        for second, price in RISING.items()
    ]  # fmt: skip
    (tmp_path / "t.csv").write_text("symbol,timestamp,side,price,amount\n" + "\n".join(lines) + "\n")
    for option in (["--json"], []):
        with pytest.raises(SystemExit) as caught:
            main([*option, "replay", str(tmp_path / "t.csv"), "--rules", str(installed)])
        assert caught.value.code == Exit.OK
        out = capsys.readouterr().out
        if option:
            (fault,) = json.loads(out.splitlines()[-1])["detector_faults"]
            assert fault["detector"] == "lonely_buyer"
            assert fault["text"].startswith("ZeroDivisionError")
            assert 0 < fault["times"] <= fault["calls"]
        else:
            assert re.search(r"detector lonely_buyer: \d+ of \d+ calls failed: ZeroDivisionError", out)


def test_a_package_that_cannot_be_imported_is_told_at_the_rule(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "site" / "lonely_buyer.py").write_text("import no_such_library_anywhere\n")
    with pytest.raises(RuleError, match="cannot be loaded: ModuleNotFoundError"):
        compile_rules(load_rules([installed]))
