"""What a person reads of ``guard why`` and ``guard rules explain``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guard.cli.explanation import Tree, tree_lines, trees_of
from guard.features.lacking import lasting

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from guard.cli.explanation import Told

__all__ = ["why_lines"]

_TRUTHS: Final = {True: "true", False: "false", None: "unknown"}
_INDENT: Final = "  "
# From what does least to what does most; those of a rule and of guard.yaml.
_MODES: Final = ("disabled", "shadow", "observe", "alert", "enforce")
_LEVELS: Final = ("normal", "warning", "danger", "critical")


def why_lines(found: Mapping[str, Any], *, width: int, is_full: bool) -> Iterator[str]:
    """Yield the lines of an explanation; `is_full` shows every rule's tree, otherwise only that of the leading one."""
    yield from _plain(_headline(found), width)
    for held in found["quarantines"]:
        yield from _held(held, width)
    rules = sorted(found["rules"], key=_importance, reverse=True)
    for number, told in enumerate(rules):
        yield ""
        yield from _rule(told, found, width, is_full=is_full or number == 0 or told["level"] != "normal")
    for told in found["outside"]:
        if is_full:
            yield ""
            yield from _outside(told, width)
    if found["outside"] and not is_full:
        names = ", ".join(told["rule"] for told in found["outside"])
        yield ""
        yield from _plain(f"out of scope here: {names} (--rule NAME tells by which key)", width)
    if not rules and not (is_full and found["outside"]):
        yield from _plain("no rule has looked at this market yet", width)


def _importance(told: Mapping[str, Any]) -> tuple[int, bool, float]:
    return _LEVELS.index(told["level"]), told["fires"] is True, -1.0 if told["score"] is None else told["score"]


def _headline(found: Mapping[str, Any]) -> str:
    tape = found.get("tape")
    moment = f" at {found['at']}" if tape else ""
    if tape:
        moment += f" ({tape['which']})" if tape["which"] else ""
    return f"{found['market']}{moment}: state {found['state']}, data {found['data']}"


def _plain(text: str, width: int, indent: str = "") -> Iterator[str]:
    yield from tree_lines([Tree(text)], width=width, indent=indent)


def _held(held: Mapping[str, Any], width: int) -> Iterator[str]:
    by = f"by {held['rule']}" if held["actor"] == "guard" else f"by {held['actor']}"
    yield from _plain(f"{held['state']} {by} since {_moment(held['opened'])}: {held['reason']}", width, _INDENT)
    calm = held["calm"]
    lines = [f"until {_moment(held['until'])}" + ("" if calm is None else f" or longer, {_moment(held['latest'])} at the latest")]
    if calm is not None:
        needs = f"{_time(calm['needs_s'])} of calm from {_moment(held['floor'])} on"
        state = f"{_time(calm['held_s'])} have counted" if calm["held_s"] else "none has counted yet"
        lines.append(f"it ends after {needs}: {state}")
        if calm["holds"] is True:
            lines.append("calm now" + (f"; enough at {_moment(calm['enough'])} if it stays so" if calm["enough"] else ""))
        else:
            lines.append(f"not calm now: {'; '.join(calm['missing']) or 'nobody can tell'}")
    for line in (*lines, f"release it: {held['release']}"):
        yield from _plain(line, width, _INDENT * 2)


def _moment(stamp: str) -> str:
    return f"{stamp[:19].replace('T', ' ')}Z"


def _time(seconds: float) -> str:
    return lasting(seconds * 1e6)


def _rule(told: Mapping[str, Any], found: Mapping[str, Any], width: int, *, is_full: bool) -> Iterator[str]:
    score = "unknown" if told["score"] is None else f"{told['score']:.2f}"
    score = f", score {score}" if told["factors"] else ""
    is_held_back = _MODES.index(told["mode"]) > _MODES.index(found["mode"])
    mode = f"{told['mode']}, held to {found['mode']} by guard.yaml" if is_held_back else told["mode"]
    yield from _plain(f"{told['rule']}: {told['level']}{score}  ({mode})  {told['title']}", width)
    for line in _state(told):
        yield from _plain(line, width, _INDENT)
    if not is_full:
        return
    told_names: Told = set()
    trees = (*_conditions(told, told_names), *_score(told, told_names), *_detectors(told, told_names), *_ends(told, told_names))
    yield from tree_lines(trees, width=width, indent=_INDENT)


def _state(told: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is missing, how far the timers are, and what the rule does."""
    if told["ready"]["ready"] != "ready":
        why = f": {told['ready']['why']}" if told["ready"]["ready_in_s"] is not None else ""
        yield f"{told['ready']['text']}{why}"
    if "group" in told:
        yield from _group(told["group"])
    if told["since"] is not None:
        yield f"since {_moment(told['since'])}"
    for at, missing in enumerate(told["missing"]):
        yield f"missing to fire: {missing}" if not at else f"and: {missing}"
    for rise in told["rise"]:
        yield f"missing to {rise}"
    if told["unknown_for_s"] is not None:
        yield f"it cannot tell since {_time(told['unknown_for_s'])}: level and timers stand still"
    if told["level"] != "normal":
        clear = told["clear"]
        held_for = f"held {_time(clear['held_s'])} of {_time(clear['needs_s'])}"
        missing = "; ".join(clear["missing"])
        yield f"clear: {held_for}" + ("" if clear["holds"] else f", not now{': ' + missing if missing else ''}")
    if told["levels"]:
        yield "levels: " + ", ".join(f"{level} from {least:g}" for level, least in told["levels"].items())
    yield from _doing(told)


def _doing(told: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the rule does at its levels."""
    doing: dict[str, list[str]] = {}
    for level, actions in told["actions"].items():
        doing.setdefault("; ".join(actions), []).append(level)
    for actions, levels in doing.items():
        if actions:
            yield f"at {', '.join(levels[:-1]) + ' and ' if levels[1:] else ''}{levels[-1]}: {actions}"


def _group(group: Mapping[str, Any]) -> Iterator[str]:
    """Yield how the group stands that the market belongs to under the rule."""
    held, of, needed = group["held"], group["of"], group["needed"]
    least = "warning" if group["level"] == "normal" else group["level"]
    hold = f"{held} of {of} markets in scope {'holds' if held == 1 else 'hold'}"
    never = "; it can never be reached here" if needed > of else ""
    yield f"{group['per']} {group['name']}: {group['level']}; {hold} {least} or above, {needed} needed{never}"
    more = f" and {group['more']} more" if group["more"] > 0 else ""
    unsure = f"; {group['unsure']} of them lacked data since and raise nothing" if group["unsure"] > 0 else ""
    if held:
        yield f"held by {', '.join(group['members'])}{more}{unsure}"


def _labelled(told: Mapping[str, Any], label: str) -> Mapping[str, Any] | None:
    return next((node for node in told["tree"] if node["text"] == label), None)


def _conditions(told: Mapping[str, Any], names: Told) -> Iterator[Tree]:
    yield _scope(told, names)
    when = _labelled(told, "when")
    if when is not None:
        yield _joined("when", when, names)
    for node in told["tree"]:
        if node["text"].startswith("unless."):
            yield _joined(node["text"].replace(".", " "), node, names)


def _joined(label: str, node: Mapping[str, Any], names: Told, value: str | None = None) -> Tree:
    """Return a labelled expression as one tree."""
    trees = trees_of(node["children"], told=names)
    if not trees:
        return Tree(f"{label}: {node['children'][0]['text']}", value or node["shown"])
    (tree,) = trees
    return tree._replace(text=f"{label}: {tree.text}", value=value or tree.value)


def _scope(told: Mapping[str, Any], names: Told) -> Tree:
    keys = [_key(key) for key in told["scope"]]
    where = _labelled(told, "scope.where")
    if where is not None:
        tree = _joined("where", where, names)
        note = ("unknown counts as in scope",) if where["value"] is None else ()
        keys.append(tree._replace(notes=(*note, *tree.notes)))
    is_in = told["in_scope"] and (where is None or where["value"] is not False)
    return Tree("scope", "in" if is_in else "out", (), tuple(keys))


def _key(key: Mapping[str, Any]) -> Tree:
    return Tree(f"{key['key']}: {key['found']}, allowed {key['allowed']}", _TRUTHS[key["holds"]])


def _score(told: Mapping[str, Any], names: Told) -> Iterator[Tree]:
    if not told["factors"]:
        return
    total = next((part["weight"] * part["value"] / part["share"] for part in told["factors"] if part["share"]), 0.0)
    trees = []
    for part in told["factors"]:
        node = _labelled(told, f"risk.{part['factor']}")
        name = f"{part['factor']} (optional)" if part["optional"] else part["factor"]
        tree = Tree(name) if node is None else _joined(name, node, names, _weighed(part, total))
        trees.append(tree)
    shown = "unknown" if told["score"] is None else f"{told['score']:.3f}"
    yield Tree("score: value x weight, added up", shown, (), tuple(trees))


def _weighed(part: Mapping[str, Any], total: float) -> str:
    if part["value"] is None:
        return str(part["status"])
    if part["optional"] and not part["share"]:
        return f"{part['value']:.2f}, left out"
    weight = f"{part['weight']:g}/{total:.4g}" if total else f"{part['weight']:g}"
    return f"{part['value']:.2f} x {weight} = {part['share']:.3f}"


def _detectors(told: Mapping[str, Any], names: Told) -> Iterator[Tree]:
    for used in told["detectors"]:
        parts: list[Tree] = []
        for part in used["parts"]:
            if part["name"] not in names:
                names.add(part["name"])
                parts.append(_part(part, names))
        shown = "unknown" if used["score"] is None else f"{used['score']:.2f}"
        kind = "hard: may block alone" if used["hard"] else "soft: warns alone, blocks with a second kind of evidence"
        yield Tree(f"{used['alias']}: {used['title']} ({used['detector']}, {kind})", shown, (), tuple(parts))


def _part(part: Mapping[str, Any], names: Told) -> Tree:
    node = {**part, "definition": part["text"], "text": part["name"]}
    branches = trees_of(part["children"], told=names, is_terse=True)
    return Tree(f"{part['name']} = {node['definition']}", part["shown"], tuple(part.get("why", ())), branches)


def _ends(told: Mapping[str, Any], names: Told) -> Iterator[Tree]:
    if told["level"] == "normal":
        return
    for node in told["tree"]:
        if node["text"] == "clear.when" or node["text"].endswith("release.when"):
            yield _joined(node["text"], node, names)


def _outside(told: Mapping[str, Any], width: int) -> Iterator[str]:
    yield from _plain(f"{told['rule']}: does not look at this market  ({told['mode']})  {told['title']}", width)
    for line in told["by"]:
        yield from _plain(line, width, _INDENT)
    yield from tree_lines([_scope(told, set())], width=width, indent=_INDENT)
