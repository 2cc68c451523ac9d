from __future__ import annotations

from guard.dsl.field_docs import field_docs
from guard.dsl.rule_models import FactorSpec, RuleSpec
from guard.dsl.schema import pack_schema
from guard.dsl.values import Model


class Base(Model):
    """A model."""

    one: int = 1
    """The first,
    over two lines."""
    two: int = 2


class Deeper(Base):
    """One that inherits."""

    two: int = 3
    """The second."""


def test_docstring_below_a_field_is_its_description() -> None:
    assert field_docs(Base) == {"one": "The first,\nover two lines."}
    assert field_docs(Deeper) == {"one": "The first,\nover two lines.", "two": "The second."}


def test_schema_describes_keys_by_the_names_that_files_use() -> None:
    definitions = pack_schema()["$defs"]
    rule = definitions[RuleSpec.__name__]["properties"]
    assert rule["for"]["description"] == "How long the condition must hold before a level begins."
    assert definitions[FactorSpec.__name__]["properties"]["weight"]["description"].startswith("Share in the score")
    assert "description" in pack_schema()["properties"]["rules"]
