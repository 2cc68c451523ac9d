"""What the language tells about itself: features, resolved rules, a configuration without its secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from guard.dsl.document import Items, Table, plain
from guard.dsl.tables import installed_tables
from guard.dsl.tokens import written_quantity
from guard.features.tables import Argument, Feature, Type, Unit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.dsl.document import Node
    from guard.dsl.rules import RuleSource
    from guard.dsl.settings import GuardConfig
    from guard.features.tables import Field

__all__ = ["configuration", "described", "origins", "shown", "usage"]

_UNIT_OF = {Type.DURATION: Unit.DURATION, Type.RATIO: Unit.RATIO}
_MASK = "********"


def described() -> list[dict[str, str]]:
    """Return every feature and field: name, usage, unit, doc, formula, minimum data and source."""
    fields, catalogue = installed_tables()
    taken = {feature.name for feature in catalogue}
    rows: list[Feature | Field] = [*catalogue, *(field for field in fields if field.name not in taken)]
    return [
        {
            "name": row.name,
            "usage": usage(row),
            "unit": str(row.unit),
            "doc": row.doc,
            "formula": row.formula,
            "minimum": row.minimum,
            "source": row.source,
        }
        for row in sorted(rows, key=lambda row: row.name)
    ]


def usage(row: Feature | Field) -> str:
    """Return how a feature or field is written, ``vol_z(w, baseline=6h)``."""
    return f"{row.name}({', '.join(map(_argument, row.arguments))})"


def _argument(argument: Argument) -> str:
    default = argument.default
    if default is None:
        return f"{argument.name}: {'|'.join(argument.choices) or argument.type}"
    if isinstance(default, float | int) and not isinstance(default, bool):
        default = written_quantity(float(default), _UNIT_OF.get(argument.type, Unit.NONE))
    return f"{argument.name}={default}"


def shown(rule: RuleSource, *, resolved: bool) -> dict[str, Any]:
    """Return a rule's keys after overrides, with all defaults where `resolved`."""
    if resolved and rule.spec is not None:
        keys: dict[str, Any] = rule.spec.model_dump(mode="json", by_alias=True)
    else:
        keys = plain(rule.node)
    return keys


def origins(rule: RuleSource) -> dict[str, str]:
    """Return where each written key of a rule stands: ``risk.order_book.weight`` -> ``rules/mine.yaml:12``."""
    found: dict[str, str] = {}

    def walk(node: Node, path: tuple[str, ...]) -> None:
        match node:
            case Table():
                for key, entry in node.entries.items():
                    walk(entry.node, (*path, key))
            case Items():
                for number, item in enumerate(node.items):
                    walk(item, (*path, str(number)))
            case _:
                found[".".join(path)] = f"{node.place.source.file}:{node.place.line}"

    walk(rule.node, ())
    return found


def configuration(config: GuardConfig, *, is_redacted: bool) -> dict[str, Any]:
    """Return a configuration with its defaults as plain values; secrets are masked unless asked for."""
    found: dict[str, Any] = _plain(config.model_dump(by_alias=True), is_redacted=is_redacted)
    serial = config.model_dump(mode="json", by_alias=True)
    merged: dict[str, Any] = _with_secrets(serial, found)
    if is_redacted:
        for exchange in merged["exchanges"].values():
            exchange["options"] = _masked(exchange["options"])
    return merged


def _plain(value: Any, *, is_redacted: bool) -> Any:  # noqa: ANN401 - any part of a configuration
    match value:
        case SecretStr():
            text = value.get_secret_value()
            return (f"{text.partition('://')[0]}://{_MASK}" if "://" in text else _MASK) if is_redacted else text
        case dict():
            return {key: _plain(inner, is_redacted=is_redacted) for key, inner in value.items()}
        case _:
            return value


def _with_secrets(serial: Any, found: Any) -> Any:  # noqa: ANN401 - likewise
    """Return the JSON form, with the addresses of `found` in place of pydantic's stars."""
    if isinstance(serial, dict) and isinstance(found, dict):
        return {key: _with_secrets(value, found.get(key)) for key, value in serial.items()}
    return found if isinstance(serial, str) and set(serial) == {"*"} and len(serial) > 1 and isinstance(found, str) else serial


_SECRET_WORDS = ("secret", "token", "password", "passphrase", "key", "auth", "proxy", "url")


def _masked(options: Mapping[str, Any]) -> dict[str, Any]:
    masked: dict[str, Any] = {}
    for key, value in options.items():
        if isinstance(value, dict):
            masked[key] = _masked(value)
        else:
            masked[key] = _MASK if any(word in key.lower() for word in _SECRET_WORDS) and value is not None else value
    return masked
