"""Rooms of the package know only what lies below them; every import is read."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import medbench_local

PACKAGE = Path(medbench_local.__file__).parent

FLOORS = (
    {"errors", "text", "progress", "_version"},
    {"paths"},
    {"settings"},
    {"files", "statistics", "store"},
    {"vision"},
    {"hub", "engine", "catalog"},
    {"acquire", "tasks", "cluster"},
    {"prompts"},
    {"scoring", "selection"},
    {"results"},
    {"study", "reference"},
    {"report"},
    {"api"},
    {"cli"},
    {"__init__", "__main__", "demo"},
)
"""From the ground up: a room may import rooms of lower floors, and nothing of its own floor but itself."""

FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def test_the_longest_files_of_tests_are_there() -> None:
    from tests.conftest import LONGEST_FIRST, TESTS

    assert [name for name in LONGEST_FIRST if not (TESTS / name).is_file()] == []


def imports() -> Iterator[tuple[str, str, str]]:
    """Every import of the package by itself: the room, the room it imports, and where."""
    return ((room, module.split(".")[1], where) for room, module, where in imported())


def imported() -> Iterator[tuple[str, str, str]]:
    """Every import of the package by itself, also by name: the room, what it imports, and where."""
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: relative imports hide where a thing lives"
                modules = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Call) and _name(node.func) in ("import_module", "__import__"):
                texts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
                modules = [text for text in texts if isinstance(text, str)]
            else:
                continue
            for module in modules:
                if module.split(".")[0] == "medbench_local":
                    yield room, module, f"{path.relative_to(PACKAGE)}:{node.lineno}"


def _name(function: ast.expr) -> str:
    """The last part of what is called."""
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def test_nothing_is_imported_from_above() -> None:
    upward = [
        f"{where}: {room} imports {other}"
        for room, other, where in imports()
        if room != other and FLOOR_OF[other] >= FLOOR_OF[room]
    ]
    assert upward == []


def test_the_command_line_goes_through_the_api() -> None:
    """What computes is called as Python users call it; only the options are known before, to make flags of them."""
    found = []
    for room, module, where in imported():
        other, _, inner = module.removeprefix("medbench_local.").partition(".")
        if (
            room == "cli"
            and other in {"study", "scoring", "reference", "selection"}
            and not f"{other}.{inner}.".startswith("study.options.")
        ):
            found.append(f"{where}: {module}")
    assert found == []


def test_the_picture_has_every_room() -> None:
    rooms = {
        path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert rooms == set(FLOOR_OF)


def test_the_reading_finds_imports() -> None:
    found = {(room, other) for room, other, _ in imports()}
    assert {("study", "statistics"), ("cli", "api"), ("paths", "errors")} <= found
    by_name = {module for room, module, _ in imported() if room == "tasks"}
    assert "medbench_local.tasks.readers." in by_name


def _importers(module: str) -> set[str]:
    """Files of the package that import ``module`` or something of it."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == module for name in names):
                found.add(path.relative_to(PACKAGE).as_posix())
    return found


def test_processes_are_started_and_llama_cpp_is_touched_in_one_place() -> None:
    assert _importers("subprocess") == {"engine/process.py"}
    assert _importers("llama_cpp") == {"engine/bindings.py", "engine/devices.py", "engine/mtmd.py"}
