"""Makes one file of the client's modules, for an environment into which nothing may be installed.

The modules are parsed, their imports of each other taken out, names that would meet renamed, and the rest written one below the
other. Nothing is run.
"""

from __future__ import annotations

import ast
import builtins
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import guard
from guard.client.layout import VERSION
from guard.errors import OperationRefused
from guard.runtime.vendored_names import Origin, Renamer, own_names, rebound, used_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["ADAPTERS", "FILE_NAME", "vendored"]

FILE_NAME: Final = "guard_client.py"
ADAPTERS: Final = {"ccxt": "ccxt_exchange", "freqtrade": "freqtrade", "hummingbot": "hummingbot", "nautilus": "nautilus"}
"""Adapters by the name of the bot, and their modules in `guard.client`."""

_ROOT: Final = Path(guard.__file__).parent
_CORE: Final = ("guard.errors", "guard.client.check")
_SHOWN: Final = ("Clearance", "ClearanceStatus", "Guard", "GuardError", "Intent", "Market", "NotRunning")
_MENDING: Final = ("guard.client.layout", "HOW_TO_UPDATE")
_VENDORED_MENDING: Final = "write {name} in the environment of the bot anew, with `guard client vendor`"
# What Python 3.10 lacks.
_SHIMS: Final = {
    ("enum", "StrEnum"): """
try:
    from enum import StrEnum
except ImportError:
    from enum import Enum

    class StrEnum(str, Enum):
        __str__ = str.__str__
        __format__ = str.__format__
""",
    ("datetime", "UTC"): """
try:
    from datetime import UTC
except ImportError:
    from datetime import timezone

    UTC = timezone.utc
""",
}
_SCOPES: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_HEAD: Final = '''# ruff: noqa
# mypy: ignore-errors
"""The client of guard {version} in one file: standard library only, Python 3.10 or later, layout {layout} of the snapshot.

Written by ``guard client vendor``{adapter}; do not change it, write it anew after an update of guard::

    from {module} import Guard

    guard = Guard("/path/to/.guard", bot="mine")
    if guard.check("binance", "PEPE/USDT", side="buy").permitted: ...
"""

from __future__ import annotations
'''


class _Module(NamedTuple):
    name: str
    tree: ast.Module
    # What each of its names stands for, its own and those that it imports.
    names: Mapping[str, Origin]


def vendored(adapters: Sequence[str] = (), *, name: str = FILE_NAME) -> str:
    """Return the text of the file.

    Parameters
    ----------
    adapters
        Bots whose adapters come with it, of `ADAPTERS`.
    name
        What it will be called, for the text that tells how it is used.

    Raises OperationRefused for an adapter that does not exist.
    """
    wanted = list(_CORE)
    for adapter in adapters:
        module = f"guard.client.{ADAPTERS.get(adapter, '')}"
        if adapter not in ADAPTERS or not _path(module).is_file():
            there = ", ".join(sorted(each for each in ADAPTERS if _path(f"guard.client.{ADAPTERS[each]}").is_file()))
            raise OperationRefused(f"there is no adapter for {adapter!r}; there are {there or 'none'}")
        wanted.append(module)
    modules = _ordered(wanted)
    final = _final_names(modules)
    parts = [_section(module, final, mending=_VENDORED_MENDING.format(name=name)) for module in modules]
    shown = sorted({*_SHOWN, *(word for module in modules if module.name in wanted[len(_CORE) :] for word in _exported(module))})
    head = _HEAD.format(
        version=guard.__version__,
        layout=VERSION,
        adapter=f" with the adapter for {', '.join(adapters)}" if adapters else "",
        module=name.removesuffix(".py"),
    )
    ends = f"\n__version__ = {guard.__version__!r}\nLAYOUT = {VERSION}\n__all__ = {shown!r}\n"
    return head + _imports(modules, final) + "".join(parts) + ends


def _path(module: str) -> Path:
    parts = module.split(".")[1:]
    folder = _ROOT.joinpath(*parts)
    return folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")


def _read(module: str) -> _Module:
    tree = ast.parse(_path(module).read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if not _is_for_types(node)]
    names = {name: Origin(module, name) for name in own_names(tree)}
    local = {id(node) for scope in tree.body if isinstance(scope, _SCOPES) for node in ast.walk(scope)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and id(node) not in local:
            names.update({alias.asname or alias.name.partition(".")[0]: Origin(alias.name, None) for alias in node.names})
        elif (
            isinstance(node, ast.ImportFrom)
            and node.module != "__future__"
            and (is_ours(node.module or "") or id(node) not in local)
        ):
            names.update({alias.asname or alias.name: _resolved(str(node.module), alias.name) for alias in node.names})
    return _Module(module, tree, names)


def _is_for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _resolved(module: str, name: str) -> Origin:
    """Return where a name is made: packages of guard only hand names on."""
    if not is_ours(module) or _path(module).name != "__init__.py":
        return Origin(module, name)
    if _path(f"{module}.{name}").is_file():
        raise OperationRefused(f"{module}.{name} is imported as a module; import its names instead")
    for node in ast.parse(_path(module).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module and any(alias.name == name for alias in node.names):
            return Origin(node.module, name)
    return Origin(module, name)


def is_ours(module: str) -> bool:
    """Whether a module is one of guard's."""
    return module == "guard" or module.startswith("guard.")


def _ordered(wanted: Iterable[str]) -> list[_Module]:
    """Return modules and all they need, each after what it needs."""
    found: dict[str, _Module] = {}
    visiting: set[str] = set()

    def visit(name: str) -> None:
        if name in found or name in visiting:
            return
        visiting.add(name)
        module = _read(name)
        for origin in module.names.values():
            if is_ours(origin.module) and origin.module != name:
                visit(origin.module)
        found[name] = module

    for name in wanted:
        visit(name)
    return list(found.values())


def _final_names(modules: Sequence[_Module]) -> dict[Origin, str]:
    """Give each thing one name: what the modules make goes before what they import, public before private."""
    final: dict[Origin, str] = {}
    taken: set[str] = set(dir(builtins))
    owned = [origin for module in modules for name, origin in module.names.items() if origin.module == module.name]
    foreign = [origin for module in modules for origin in module.names.values() if not is_ours(origin.module)]
    public = [origin for origin in owned if not str(origin.name).startswith("_")]
    private = [origin for origin in owned if str(origin.name).startswith("_")]
    for origin in (*public, *foreign, *private):
        if origin in final:
            continue
        name = origin.name or origin.module
        stem = f"_{origin.module.rpartition('.')[2]}_{name.strip('_')}"
        for choice in (name, stem, *(f"{stem}_{number}" for number in range(2, 100))):
            if choice not in taken:
                break
        final[origin] = choice
        taken.add(choice.partition(".")[0])
    return final


def _imports(modules: Sequence[_Module], final: Mapping[Origin, str]) -> str:
    used = set().union(*(used_names(module.tree) for module in modules))
    lines, shims = [], []
    for origin, name in sorted(final.items(), key=lambda item: (item[0].module, item[0].name or "")):
        if is_ours(origin.module) or not _is_used(origin, modules, used):
            continue
        if (origin.module, origin.name) in _SHIMS:
            shims.append(_SHIMS[origin.module, str(origin.name)])
        elif origin.module.partition(".")[0] in sys.stdlib_module_names:
            lines.append(rebound(origin, name))
    return "\n" + "\n".join(lines) + "\n" + "".join(shims)


def _is_used(origin: Origin, modules: Sequence[_Module], used: set[str]) -> bool:
    return any(name in used for module in modules for name, found in module.names.items() if found == origin)


def _section(module: _Module, final: Mapping[Origin, str], *, mending: str) -> str:
    renames = {name: final[origin] for name, origin in module.names.items() if origin in final and final[origin] != name}
    tree = Renamer(renames, module.name, is_ours=is_ours).visit(module.tree)
    body = []
    for number, node in enumerate(tree.body):
        if number == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.Pass):
            continue
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if node.targets[0].id in {"__all__", "__version__"}:
                continue
            if (module.name, node.targets[0].id) == _MENDING:
                node.value = ast.Constant(mending)
        body.append(ast.unparse(ast.fix_missing_locations(node)))
    about = (ast.get_docstring(module.tree) or "").partition("\n")[0]
    return f"\n\n# {module.name}: {about}\n\n" + "\n\n".join(text for text in body if text) + "\n"


def _exported(module: _Module) -> list[str]:
    for node in module.tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            return [str(word) for word in ast.literal_eval(node.value)]
    return []
