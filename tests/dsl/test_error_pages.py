"""Every id has its page, which says what the code says and shows what the corpus shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from dsl.error_pages import pages

from guard.dsl.explanations import EXPLANATIONS, page_of
from guard.dsl.problems import NAMES

FOLDER = Path(__file__).parents[2] / "docs" / "errors"


def test_every_id_is_explained() -> None:
    assert set(NAMES) <= set(EXPLANATIONS)


@pytest.mark.parametrize("code", NAMES)
def test_explanation_says_what_and_why_in_sentences(code: str) -> None:
    meaning, why, _ = EXPLANATIONS[code]
    assert meaning.endswith(".")
    assert meaning.count(". ") == 0
    assert why.endswith(".")
    assert len(why) > 40


def test_pages_are_those_that_the_corpus_makes() -> None:
    made = pages()
    assert {path.name for path in FOLDER.glob("*")} == set(made)
    for name, text in made.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, f"docs/errors/{name} is old: make errors"


def test_page_is_found_for_the_terminal() -> None:
    assert all(f"# {code} {name}" in (page_of(code) or "") for code, name in NAMES.items())
