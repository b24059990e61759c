"""The house rules: imports go only down, in no circle; files and functions stay short; names tell."""

import ast
import functools
import itertools
from collections.abc import Iterator
from pathlib import Path

import networkx
import pytest

ROOT = Path(__file__).parents[1]

FLOORS = [
    line.split()
    for line in """
    app pages cli
    ui
    plots
    experiments lessons
    explore
    compression
    methods
    bounds sigma_delta path_following storage pruning
    frames quantizers networks
    kernels top
    """.strip().splitlines()
]
"""Folders of sdqviz (and the scripts beside it), highest first: each may import only from lines below its own.

``top`` stands for the small files directly in sdqviz/, which may use each other.
"""

FLOOR = {name: floor for floor, line in enumerate(FLOORS) for name in line}

MOST_ENTRIES, MOST_FLOORS, MOST_TOP_FILES = 20, 10, 12
LONGEST_FILE, LONGEST_FUNCTION, LONGEST_PAGE = 400, 80, 150

TORCH = {"experiments", "explore", "compression", "methods", "pruning", "networks"}
HOME: dict[str, set[str]] = {
    "streamlit": {"app", "pages", "ui"},
    "plotly": {"plots"},
    "numba": {"kernels"},
    "typer": {"cli"},
    "rich": {"cli"},
    "torch": TORCH | {"cli"},
    "torchvision": {"networks"},
    "networkx": set(),
    "json": {"top", "cli", "lessons"},  # strict_json; what is typed after --set; a guess, which is a word or number
    "dask": {"experiments"},
    "distributed": {"experiments"},
    "joblib": {"experiments", "cli"},
    "onnx": {"compression"},
    "constriction": {"storage"},
    "segno": {"ui"},
    "threadpoolctl": {"kernels"},
    "onnxscript": {"compression"},
    "brevitas": set(),
    "torch_pruning": set(),
}
"""Where each large library may be imported, at the top of a file or inside a function."""

BANNED = {"utils", "util", "helpers", "helper", "common", "core", "manager", "misc"}


def source_files() -> list[Path]:
    return sorted([*(ROOT / "sdqviz").rglob("*.py"), *(ROOT / "pages").glob("*.py"), ROOT / "app.py"])


def every_file() -> list[Path]:
    return [*source_files(), *sorted((ROOT / "tests").rglob("*.py"))]


def place(path: Path) -> str:
    """Name the folder of `FLOORS` a file belongs to: sdqviz/frames/harmonic.py -> frames, sdqviz/error.py -> top."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[0] != "sdqviz":
        return parts[0]
    return parts[1] if len(parts) > 2 else "top"


def module_name(path: Path) -> str:
    """Return the dotted name of a file: sdqviz/frames/__init__.py -> sdqviz.frames."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in source_files()}


def imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield every imported module and its line, wherever in the file; ``from a import b`` as ``a.b`` if that is one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield "." * node.level + (node.module or ""), node.lineno
            else:
                for alias in node.names:
                    deep = f"{node.module}.{alias.name}"
                    yield (deep if deep in MODULES else node.module or ""), node.lineno


@functools.cache
def parsed(source: str) -> ast.Module:
    return ast.parse(source)


def violations(path: Path, source: str) -> list[str]:
    here, found = place(path), []
    for name, line in imported(parsed(source)):
        where = f"{path.relative_to(ROOT)}:{line} imports {name}"
        top = name.split(".")[0]
        if name.startswith("."):
            found.append(f"{where}: relative import")
        elif top in HOME and here not in HOME[top]:
            found.append(f"{where}: {top} belongs to {', '.join(sorted(HOME[top])) or 'tests'}")
        elif top == "sdqviz" and name != "sdqviz" and path != ROOT / "sdqviz" / "__init__.py":
            if name not in MODULES:
                found.append(f"{where}: no such module")
                continue
            there = place(MODULES[name])
            if there != here and FLOOR[there] <= FLOOR[here]:
                found.append(f"{where}: {here} may not use {there}")
    return found


def circles(sources: dict[str, str]) -> list[list[str]]:
    """Return every set of modules that import each other, however late the import is written."""
    graph = networkx.DiGraph()
    for name, source in sources.items():
        if name != "sdqviz":  # its names are loaded on first use
            graph.add_edges_from((name, other) for other, _ in imported(parsed(source)) if other in sources)
    return [sorted(part) for part in networkx.strongly_connected_components(graph) if len(part) > 1]


def too_long(path: Path, source: str) -> list[str]:
    """Name what outgrew its place: the file, or a function in it."""
    found, lines = [], source.count("\n")
    if lines > LONGEST_FILE:
        found.append(f"{path.relative_to(ROOT)} has {lines} lines")
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            if length > LONGEST_FUNCTION:
                found.append(f"{path.relative_to(ROOT)}: {node.name} has {length} lines")
    return found


def reached_into(source: str) -> list[str]:
    """Name what a test takes of the program that is private there: by import, by a dot, or to put something else."""
    nodes = list(ast.walk(parsed(source)))
    taken = [
        alias
        for node in nodes
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if (getattr(node, "module", None) or alias.name).split(".")[0] == "sdqviz"
    ]
    ours = {(alias.asname or alias.name).split(".")[0] for alias in taken}
    found = [alias.name for alias in taken]
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ours:
            found.append(node.attr)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.startswith("set"):
            where = next((one.id for one in node.args[:1] if isinstance(one, ast.Name)), None)
            found += [str(one.value) for one in node.args[1:2] if where in ours and isinstance(one, ast.Constant)]
    return [name for name in found if name.startswith("_") and not name.startswith("__")]


def test_imports_go_only_down_and_libraries_stay_home():
    assert [v for path in source_files() for v in violations(path, path.read_text("utf-8"))] == []


def test_no_module_imports_itself_in_a_circle():
    assert circles({name: path.read_text("utf-8") for name, path in MODULES.items()}) == []


def test_files_and_functions_stay_short():
    assert [v for path in every_file() for v in too_long(path, path.read_text("utf-8"))] == []


def test_the_house_stays_small():
    assert sum(map(len, FLOORS)) <= MOST_ENTRIES and len(FLOORS) <= MOST_FLOORS
    top = sorted(path.name for path in (ROOT / "sdqviz").glob("*.py") if path.name != "__init__.py")
    assert len(top) <= MOST_TOP_FILES, top


def test_every_file_has_its_place_and_a_telling_name():
    for path in source_files():
        assert place(path) in FLOOR, f"{path.relative_to(ROOT)} is not in the list"
        assert not BANNED & set(path.relative_to(ROOT).with_suffix("").parts), path


def test_tests_mirror_the_house():
    for path in (ROOT / "tests").rglob("test_*.py"):
        folder = path.relative_to(ROOT / "tests").parent
        known = folder.parts[:1] in {(), ("pages",), ("browser",), ("benchmarks",)}
        assert known or (ROOT / "sdqviz" / folder).is_dir(), f"{path.relative_to(ROOT)}: sdqviz has no such folder"
    for name in set(FLOOR) - {"app", "top"}:
        assert list((ROOT / "tests" / name).rglob("test_*.py")), f"{name} has no tests"


@pytest.mark.parametrize(
    ("file", "line", "complaint"),
    [
        (
            "sdqviz/frames/frame.py",
            "from sdqviz.compression.compress import compress",
            "frames may not use compression",
        ),
        ("sdqviz/frames/frame.py", "def f():\n    import torch", "torch belongs to"),
        ("sdqviz/frames/harmonic.py", "from sdqviz.methods import METHODS", "frames may not use methods"),
        ("sdqviz/frames/harmonic.py", "from sdqviz.quantizers import alphabet", "frames may not use quantizers"),
        ("sdqviz/error.py", "from sdqviz.kernels import kernel", "top may not use kernels"),
        ("sdqviz/ui/show.py", "import plotly.graph_objects as go", "plotly belongs to plots"),
        ("sdqviz/plots/theme.py", "import streamlit as st", "streamlit belongs to app, pages, ui"),
        ("sdqviz/bounds/vector.py", "from numba import njit", "numba belongs to kernels"),
        ("sdqviz/frames/frame.py", "from .choice import Choice", "relative import"),
        ("sdqviz/frames/frame.py", "import sdqviz.leftovers", "no such module"),
        ("pages/frames.py", "from sdqviz.ui import show\nimport torch", "torch belongs to"),
    ],
)
def test_the_guard_sees_a_breach(file, line, complaint):
    found = violations(ROOT / file, line)
    assert len(found) == 1 and complaint in found[0]
    assert violations(ROOT / file, "import numpy\nfrom sdqviz.error import InputError") == []


def test_the_guard_sees_a_circle_and_a_late_one():
    one = {"sdqviz.frames.frame": "from sdqviz.frames import walk", "sdqviz.frames.walk": "def f():\n    pass"}
    assert [part for part in circles({name: one.get(name, "") for name in {*MODULES, *one}}) if len(part) > 1] == []
    names = list(itertools.islice((name for name in MODULES if name.startswith("sdqviz.frames.")), 2))
    late = {names[0]: f"import {names[1]}", names[1]: f"def f():\n    import {names[0]}"}
    assert circles({name: late.get(name, "") for name in MODULES}) == [sorted(names)]


def test_the_guard_sees_what_is_too_long():
    path = ROOT / "sdqviz" / "error.py"
    assert too_long(path, "x = 1\n" * LONGEST_FILE) == []
    assert too_long(path, "x = 1\n" * (LONGEST_FILE + 1)) == ["sdqviz/error.py has 401 lines"]
    body = "def f():\n" + "    x = 1\n" * LONGEST_FUNCTION
    assert too_long(path, body) == ["sdqviz/error.py: f has 81 lines"]


def test_tests_go_through_the_public_door():
    for path in (ROOT / "tests").rglob("*.py"):
        assert reached_into(path.read_text("utf-8")) == [], path.relative_to(ROOT)


@pytest.mark.parametrize(
    "line",
    [
        "from sdqviz.frames.frame import _inside",
        "from sdqviz.frames import frame as one\none._inside",
        "import sdqviz as sq\nsq._inside",
        "from sdqviz.frames import frame\nmonkeypatch.setattr(frame, '_inside', 3)",
    ],
)
def test_the_guard_sees_a_test_that_reaches_inside(line):
    assert reached_into(line) == ["_inside"]
    assert reached_into(line.replace("_inside", "Inside")) == []


def test_pages_only_choose_run_and_show():
    for page in (ROOT / "pages").glob("*.py"):
        lines = [line for line in page.read_text("utf-8").splitlines() if line.strip()]
        assert len(lines) <= LONGEST_PAGE, f"{page.name} has {len(lines)} lines; arithmetic and drawing belong below"
