"""Which exchanges there are, without the seconds that an import of ccxt takes."""

from __future__ import annotations

from pathlib import Path

from guard.errors import GuardError

__all__ = ["check_known"]


def check_known(exchange: str) -> None:
    """Raise GuardError for an id that ccxt has no streams of."""
    # guard does not import ccxt; its folder of streaming classes tells which ids there are, without its seconds of import.
    from importlib.util import find_spec

    spec = find_spec("ccxt")
    if spec is None or not spec.submodule_search_locations:
        raise GuardError("ccxt is not installed in this environment")
    ids = sorted(file.stem for file in (Path(next(iter(spec.submodule_search_locations))) / "pro").glob("[a-z]*.py"))
    if exchange not in ids:
        from difflib import get_close_matches

        near = get_close_matches(exchange, ids, n=3)
        raise GuardError(f"ccxt streams no exchange {exchange!r}" + (f"; did you mean {', '.join(near)}?" if near else ""))
