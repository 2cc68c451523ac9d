"""The page of features says what the tables say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from guard.cli.main import main
from guard.dsl.feature_page import costs_of, feature_page, fields_of
from guard.features.catalogue import CATALOGUE
from guard.features.fields import FIELDS, FIELDS_BY_NAME
from guard.features.tables import Cost

if TYPE_CHECKING:
    from guard.features.tables import Feature, Field

PAGE: Final = Path(__file__).parents[2] / "docs" / "features.md"
ALL: Final = [*FIELDS, *CATALOGUE]


def test_page_is_the_one_that_the_tables_make() -> None:
    assert PAGE.read_text(encoding="utf-8") == feature_page(), "write it anew: guard rules features --markdown > docs/features.md"


def test_page_has_one_entry_for_each_row() -> None:
    assert sorted(re.findall(r"^### (\w+)$", feature_page(), re.MULTILINE)) == sorted(row.name for row in ALL)


@pytest.mark.parametrize("row", ALL, ids=lambda row: row.name)
def test_entry_tells_what_its_row_holds(row: Field | Feature) -> None:
    entry = feature_page().partition(f"\n### {row.name}\n")[2].partition("\n### ")[0]
    for text in (f"`{row.name}(", row.doc, f"- unit: {row.unit}\n", f"- known from: {row.minimum}", f"- source: {row.source}\n"):
        assert text in entry


def test_feature_costs_what_its_fields_cost() -> None:
    features = {feature.name: feature for feature in CATALOGUE}
    assert [field.name for field in fields_of(features["trend_gap"])] == ["ewma_price", "price"]
    assert costs_of(features["trend_t"]) == (Cost.LAST, Cost.SUM)
    assert costs_of(features["vol_z_either"]) == (Cost.SUM, Cost.HISTOGRAM)
    assert fields_of(FIELDS_BY_NAME["depth"]) == (FIELDS_BY_NAME["depth"],)


def test_command_prints_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["rules", "features", "--markdown"])
    assert capsys.readouterr().out == feature_page()


def test_command_gives_the_page_as_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["rules", "features", "--markdown", "--json"])
    assert json.loads(capsys.readouterr().out)["page"] + "\n" == feature_page()
