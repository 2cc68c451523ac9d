"""Builds the kernel ahead of time: its own source, compiled by mypyc to a package of its own, `guard_kernel`.

``python hatch_build.py`` builds it into the environment it runs in. A wheel holds it where GUARD_BUILD=1 is set when it is made;
it is for one platform and version of Python then. Without it the kernel runs in Python, with the same bits.
"""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT: Final = Path(__file__).resolve().parent
_KERNEL: Final = ROOT / "guard" / "features" / "kernel"
_PACKAGE: Final = "guard_kernel"
_TYPES: Final = """from collections.abc import Callable

Floats = list[float]
Integers = list[int]
FloatRows = list[list[float]]
IntegerRows = list[list[int]]
Read = Callable[[FloatRows, IntegerRows, Floats, Integers, Integers, Floats, int, int], float]
"""
# What C does for Python's lists takes longer than a loop does once that is compiled.
_LOOPS: Final = ("find", "weigh")


class BuildKernel(BuildHookInterface[Any]):
    """Puts the built kernel into a wheel where that is asked for."""

    def dependencies(self) -> list[str]:
        """Return what building it takes."""
        return ["mypy>=1.15", "setuptools>=75"] if self._is_asked() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build before the wheel is written; an editable install is left as it is."""
        if version == "editable" or not self._is_asked():
            return
        target = Path(self.root) / "build" / "kernel"
        build_data["force_include"].update({str(path): str(path.relative_to(target)) for path in build(target)})
        build_data["pure_python"], build_data["infer_tag"] = False, True

    def _is_asked(self) -> bool:
        return os.environ.get("GUARD_BUILD") == "1"


def build(target: Path) -> list[Path]:
    """Compile the kernel and put it into `target`; returns what is there then. Raises CalledProcessError where it cannot be."""
    source = runpy.run_path(str(_KERNEL / "source.py"))
    with TemporaryDirectory(prefix="guard-build-") as folder:
        package = Path(folder) / _PACKAGE
        package.mkdir()
        for name in source["MODULES"]:
            text = (_KERNEL / f"{name}.py").read_text(encoding="utf-8")
            (package / f"{name}.py").write_text(_moved(text), encoding="utf-8")
        (package / "rows.py").write_text(_TYPES, encoding="utf-8")
        (package / "__init__.py").write_text(f'DIGEST = "{source["digest"]()}"\n', encoding="utf-8")
        environment = {**os.environ, "MYPYPATH": str(ROOT)}
        command = [sys.executable, __file__, "--compile", *source["MODULES"], "rows"]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.stderr.write(done.stdout + done.stderr)
            done.check_returncode()
        (target / _PACKAGE).mkdir(parents=True, exist_ok=True)
        # Last what tells of which source the others are.
        built = [*Path(folder).glob(f"*{_suffix()}"), *package.glob(f"*{_suffix()}"), package / "__init__.py"]
        return [_put(path, target / path.relative_to(folder)) for path in built]


def _put(path: Path, to: Path) -> Path:
    """Put a file in the place of another, which a running guard goes on with: writing into it would end that guard."""
    beside = to.with_name(f"{to.name}.new")
    shutil.copy2(path, beside)
    return beside.replace(to)


def _suffix() -> str:
    return str(sysconfig.get_config_var("EXT_SUFFIX"))


def _moved(text: str) -> str:
    """Return a module's text as one of the other package."""
    loops = re.compile(rf"\b({'|'.join(_LOOPS)})\b")
    lines = text.replace("guard.features.kernel", _PACKAGE).splitlines(keepends=True)
    named = f"from {_PACKAGE}.blocks import"
    return "".join(loops.sub(r"\1_each as \1", line) if line.startswith(named) else line for line in lines)


def _compile(names: list[str]) -> None:
    """Compile the modules of the package in the working folder."""
    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    paths = [f"{_PACKAGE}/{name}.py" for name in names]
    extensions = mypycify(
        ["--config-file=", "--follow-imports=silent", "--ignore-missing-imports", *paths], opt_level="3", group_name=_PACKAGE
    )
    for extension in extensions:
        if os.name == "posix":
            # A product and a sum in one step would round once where Python rounds twice.
            extension.extra_compile_args.append("-ffp-contract=off")
    command = build_ext(Distribution({"name": _PACKAGE, "ext_modules": extensions}))
    command.inplace = True
    command.ensure_finalized()
    command.run()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--compile"]:
        _compile(sys.argv[2:])
    else:
        build(Path(sysconfig.get_path("platlib")))
