"""Wheel and sdist as they leave the house: what is in them, and that they work beside a bot's own `connectors`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

pytest.importorskip("hatchling", reason="building needs the extra dev")

ROOT: Final = Path(__file__).parents[1]
PARTS: Final = ("guard", "connectors", "rules", "docs", "tests", "guard.yaml", "pyproject.toml", "README.md", "LICENSE")
PACKAGES: Final = ("guard", "guard_ccxt", "guard_sim", "guard_tape")
# What Python's own folders are called on a machine; a path of the checkout itself is added where it is looked for.
MACHINE: Final = re.compile(rb"(?<![\w.~$/])/(?:" + b"|".join([b"home", b"Users", b"root", b"work", b"builds"]) + rb")/\w")


class Built(NamedTuple):
    folder: Path
    wheel: Path
    sdist: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build the sdist from what git tracks, and the wheel from that sdist."""
    folder = tmp_path_factory.mktemp("packaging")
    copy = folder / "checkout"
    for name in tracked():
        if (ROOT / name).is_file():  # a file may be deleted and not yet committed
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, copy / name)
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), str(copy)], cwd=folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    return Built(folder, wheel, sdist)


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode == 0 and listed.stdout:
        return [name for name in listed.stdout.decode().split("\0") if name]
    # An archive of the repository has no history.
    found = (path for part in PARTS for path in ([ROOT / part] if (ROOT / part).is_file() else (ROOT / part).rglob("*")))
    return [str(path.relative_to(ROOT)) for path in found if path.is_file() and "__pycache__" not in path.parts]


def run(words: list[str], *, cwd: Path, more: Mapping[str, str] = {}) -> str:
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "SYSTEMROOT")
    env = {name: os.environ[name] for name in kept if name in os.environ} | {"PYTHONDONTWRITEBYTECODE": "1", **more}
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{words} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def wheel_files(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


def sdist_files(sdist: Path) -> dict[str, bytes]:
    with tarfile.open(sdist) as archive:
        opened = ((member.name.partition("/")[2], archive.extractfile(member)) for member in archive if member.isfile())
        return {name: file.read() for name, file in opened if file is not None}


def test_wheel_holds_every_source_file_and_pack_and_nothing_else(built: Built) -> None:
    files = wheel_files(built.wheel)
    expected = set()
    for name in tracked():
        top, _, rest = name.partition("/")
        if not (ROOT / name).is_file():
            continue
        if top == "guard":
            expected.add(name)
        elif top == "connectors":
            expected.add(rest)
        elif top == "rules" or name.startswith("docs/errors/"):
            expected.add(f"guard/{name}")
    assert {name for name in files if ".dist-info/" not in name} == expected
    assert {name.partition("/")[0] for name in expected} == set(PACKAGES)


def test_wheel_ships_the_packs_with_their_tests_and_the_ledger_schema(built: Built) -> None:
    files = set(wheel_files(built.wheel))
    packs = {path.name for path in (ROOT / "rules").glob("*.yaml")}
    assert {"pump_dump.yaml", "pump_dump.test.yaml"} <= packs
    assert {f"guard/rules/{name}" for name in packs} <= files
    assert {"guard/docs/errors/README.md", "guard/docs/errors/E042.md"} <= files
    assert {"guard/py.typed", "guard_ccxt/py.typed", "guard_sim/py.typed", "guard_tape/py.typed", "guard/store/schema.sql"} <= files


def test_no_archive_carries_tests_or_what_a_tool_left_behind(built: Built) -> None:
    for files in (wheel_files(built.wheel), sdist_files(built.sdist)):
        for name in files:
            assert not {"tests", "__pycache__", ".venv", ".git", ".hypothesis", ".guard"} & set(name.split("/")), name
            assert not Path(name).name.startswith("test_"), name
            assert not name.endswith((".pyc", ".sqlite", ".log")), name


def test_no_archive_tells_where_it_was_built(built: Built) -> None:
    own = [str(path).encode() for path in (ROOT, built.folder)]
    for files in (wheel_files(built.wheel), sdist_files(built.sdist)):
        for name, content in files.items():
            assert not any(path in content for path in own), name
            assert not MACHINE.search(content), name


def test_entry_points_of_the_wheel_name_what_is_in_it(built: Built) -> None:
    files = wheel_files(built.wheel)
    (points,) = (content.decode() for name, content in files.items() if name.endswith("entry_points.txt"))
    assert "guard = guard.cli:main" in points
    for module in re.findall(r"= ([\w.]+):", points):
        path = module.replace(".", "/")
        assert f"{path}.py" in files or f"{path}/__init__.py" in files, module


def test_sdist_builds_the_wheel_that_the_checkout_builds(built: Built) -> None:
    run(
        [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(built.folder / "direct"), "checkout"],
        cwd=built.folder,
    )
    (direct,) = (built.folder / "direct").glob("*.whl")
    from_checkout, from_sdist = wheel_files(direct), wheel_files(built.wheel)
    assert from_checkout.keys() == from_sdist.keys()
    assert [name for name, content in from_checkout.items() if content != from_sdist[name]] == []


@pytest.fixture(scope="module")
def installed(built: Built) -> Path:
    """Install the wheel into an empty environment that borrows only guard's dependencies; return its folder of programs."""
    place = built.folder / "venv"
    run([sys.executable, "-m", "venv", "--without-pip", str(place)], cwd=built.folder)
    programs = place / ("Scripts" if os.name == "nt" else "bin")
    python = str(programs / "python")
    run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", str(built.wheel)],
        cwd=built.folder,
    )
    own = Path(run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], cwd=built.folder).strip())
    # The .pth files of a folder that is named here are not read, so the checkout's editable install stays out of sight.
    lent = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    (own / "lent.pth").write_text("".join(f"{path}\n" for path in lent), encoding="utf-8")
    return programs


@pytest.fixture(scope="module")
def beside_a_bot(built: Built) -> Path:
    """Make the folder of a bot that has a package called `connectors`."""
    folder = built.folder / "bot"
    (folder / "connectors").mkdir(parents=True)
    (folder / "connectors" / "__init__.py").write_text("OWNER = 'the bot'\n", encoding="utf-8")
    return folder


WHERE = """
import json, connectors, guard, guard_ccxt, guard_sim, guard_tape
from importlib.metadata import distribution, entry_points
from guard.dsl.loading import shipped_packs
print(json.dumps({
    "owner": connectors.OWNER,
    "files": [module.__file__ for module in (guard, guard_ccxt, guard_sim, guard_tape)],
    "packs": [str(path) for path in shipped_packs()],
    "connectors": sorted({point.name: point.load().__name__ for point in entry_points(group="guard.connectors")}),
    "version": [distribution("trading-guard").version, guard.__version__],
}))
"""


def test_installed_wheel_lives_beside_a_bots_own_connectors(installed: Path, beside_a_bot: Path) -> None:
    found = json.loads(run([str(installed / "python"), "-c", WHERE], cwd=beside_a_bot))
    assert found["owner"] == "the bot"
    assert all(Path(file).is_relative_to(installed.parent) for file in [*found["files"], *found["packs"]]), found
    assert len(found["packs"]) == len([path for path in (ROOT / "rules").glob("*.yaml") if not path.name.endswith(".test.yaml")])
    assert found["connectors"] == ["ccxt", "sim", "tape"]
    assert found["version"][0] == found["version"][1]


def test_installed_command_tells_its_version_and_checks_its_packs(installed: Path, beside_a_bot: Path) -> None:
    guard = str(installed / "guard")
    assert re.match(r"guard \d+\.\d+", run([guard, "version"], cwd=beside_a_bot))
    config = beside_a_bot / "guard.yaml"
    packs = sorted(path.stem for path in (ROOT / "rules").glob("*.yaml") if not path.name.endswith(".test.yaml"))
    listed = ", ".join(f'"guard:{name}"' for name in packs)
    config.write_text(f"version: 1\nexchanges: {{sim: {{connector: sim}}}}\nrules: [{listed}]\n", encoding="utf-8")
    assert json.loads(run([guard, "rules", "check", "--json"], cwd=beside_a_bot))["errors"] == []
    found = json.loads(run([guard, "rules", "list", "--json"], cwd=beside_a_bot))["rules"]
    assert {Path(rule["file"]).stem for rule in found} == set(packs)


def test_a_wheel_holds_the_built_kernel_where_that_is_asked_for(built: Built) -> None:
    folder = built.folder / "asked"
    words = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(folder), str(built.folder / "checkout")]
    run(words, cwd=built.folder, more={"GUARD_BUILD": "1"})
    (wheel,) = folder.glob("*.whl")
    files = wheel_files(wheel)
    assert "none-any" not in wheel.name
    assert f"guard_kernel/drive{sysconfig.get_config_var('EXT_SUFFIX')}" in files
    assert "guard_kernel/__init__.py" not in wheel_files(built.wheel)
    unpacked = folder / "unpacked"
    shutil.unpack_archive(wheel, unpacked, "zip")
    told = "from guard.features.kernel import built; print(built.__file__, built.functions() is not None)"
    where, is_built = run([sys.executable, "-c", told], cwd=folder, more={"PYTHONPATH": str(unpacked)}).split()
    assert Path(where).is_relative_to(unpacked)
    assert is_built == "True"
