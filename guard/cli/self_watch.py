"""What the board and the doctor say of guard's own proofs, and of the lists it imports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["heartbeat_trouble", "list_troubles"]


def heartbeat_trouble(status: Mapping[str, Any]) -> str | None:
    """Return what guard cannot prove of itself, None where all is proved or nothing was due yet."""
    heartbeat = status.get("heartbeat")
    if not heartbeat:
        return None
    if heartbeat["silent"]:
        return f"bots get no sign of life: {heartbeat['silent']}"
    wrong = {name: stage["problem"] for name, stage in heartbeat["stages"].items() if stage["problem"]}
    if wrong:
        return "not proved to work: " + "; ".join(f"{name} ({problem})" for name, problem in wrong.items())
    problem: str | None = heartbeat["file"]
    return problem


def list_troubles(status: Mapping[str, Any]) -> Iterator[tuple[str, bool, str]]:
    """Yield each imported list: its name, whether it is well, and what is to be said of it."""
    for each in status.get("lists") or ():
        name, trouble = f"list {each['name']}", each["problem"] or each["doubt"]
        left_out = each["bad_rows"] + each["passed_over"]
        found = f"{each['held']} held of {each['entries']} entries, read {each['read'] or 'never'}"
        if left_out:
            found += f", {left_out} rows left out: {each['rows'][0]}"
        yield name, trouble is None, f"{trouble}; {found}" if trouble else found
