"""Names of modules that become one file: which there are, which are used, and the change of those that would meet."""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING, NamedTuple

from guard.errors import OperationRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Origin", "Renamer", "own_names", "rebound", "used_names"]


class Origin(NamedTuple):
    """What a name stands for: a name of a module, or, where `name` is None, the module."""

    module: str
    name: str | None


def own_names(tree: ast.Module) -> list[str]:
    """Return the names that a module makes at its top, in order."""
    found: dict[str, None] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found[node.name] = None
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.For | ast.With | ast.If | ast.Try):
            names = (each for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store))
            found.update(dict.fromkeys(each.id for each in names))
    found.pop("__all__", None)
    return list(found)


class _Annotations(ast.NodeTransformer):
    """Takes annotations out: they are texts that nobody reads at run time."""

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)


def used_names(tree: ast.Module) -> set[str]:
    """Return the names that a module reads at run time."""
    bare = _Annotations().visit(ast.parse(ast.unparse(tree)))
    return {node.id for node in ast.walk(bare) if isinstance(node, ast.Name)}


def rebound(origin: Origin, name: str) -> str:
    """Return the import that binds `name` to what `origin` stands for.

    Examples
    --------
    >>> rebound(Origin("collections.abc", "Mapping"), "_abc_Mapping"), rebound(Origin("os", None), "os")
    ('from collections.abc import Mapping as _abc_Mapping', 'import os')
    """
    if origin.name is None:
        return f"import {origin.module}" + ("" if name == origin.module else f" as {name}")
    return f"from {origin.module} import {origin.name}" + ("" if name == origin.name else f" as {name}")


class Renamer(ast.NodeTransformer):
    """Gives names of a module their names in the one file, and takes out imports of what stands there already.

    Parameters
    ----------
    renames
        Old names and new ones.
    module
        Its name, for messages.
    is_ours
        Tells whether a module is part of guard.

    Raises OperationRefused where a function has a local name that would have to change: it could mean either.
    """

    def __init__(self, renames: Mapping[str, str], module: str, *, is_ours: Callable[[str], bool]) -> None:
        self._renames = renames
        self._module = module
        self._is_ours = is_ours
        self._depth = 0

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """Rename what is read or made at the top."""
        if node.id in self._renames:
            if self._depth and isinstance(node.ctx, ast.Store):
                self._refuse(node.id)
            node.id = self._renames[node.id]
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        """Refuse an argument that would change."""
        if node.arg in self._renames:
            self._refuse(node.arg)
        return self.generic_visit(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        """Refuse a caught error's name that would change."""
        if node.name in self._renames:
            self._refuse(str(node.name))
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Go into a function."""
        return self._scope(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        """Go into an asynchronous function."""
        return self._scope(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Go into a class."""
        return self._scope(node)

    def visit_Import(self, node: ast.Import) -> ast.AST:
        """Take out a module that stands above."""
        names = [alias.asname or alias.name.partition(".")[0] for alias in node.names]
        return self._imported(node, names, is_ours=any(self._is_ours(alias.name) for alias in node.names))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        """Take out names that stand above."""
        names = [alias.asname or alias.name for alias in node.names]
        return self._imported(node, names, is_ours=node.module is not None and self._is_ours(node.module))

    def _imported(self, node: ast.Import | ast.ImportFrom, names: list[str], *, is_ours: bool) -> ast.AST:
        if is_ours or (not self._depth and not self._is_foreign(node)):
            # The names stand above already.
            return ast.Pass()
        for alias, name in zip(node.names, names, strict=True):
            if name in self._renames:
                alias.asname = self._renames[name]
        return node

    @staticmethod
    def _is_foreign(node: ast.Import | ast.ImportFrom) -> bool:
        tops = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        return not any(top.partition(".")[0] in {*sys.stdlib_module_names, "guard", "__future__"} for top in tops)

    def _scope(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> ast.AST:
        if not self._depth and node.name in self._renames:
            node.name = self._renames[node.name]
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1
        return node

    def _refuse(self, name: str) -> None:
        raise OperationRefused(f"{self._module} uses the name {name} both for itself and within a function: rename one of them")
