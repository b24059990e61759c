"""The import rule: imports go only down the list, and each large library has its one place."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

ORDER = """
    app pages cli doctor
    ui
    plots
    preset reproduce pareto geta_figures geta_baselines target sweep sweep_worker sweep_plan what_if run_csv run_store
    bound_curves bound_curve bound_walk bound_point
    listing export compression packed_file packing guarantee ladder network_bound
    walks
    methods path_following method
    dependency removal short_norm channel_groups channel_entries channel_layers channel_moves channel_flow
    channel_labels
    cost learned_quantizer own_weights networks network_choice training state_file
    calibration measurement network structure residual_block basic_block vision_transformer layer dataset coding storage
    vector monte_carlo path_bound recursion sigma_delta dual bound
    permutations permutation frames tightening frame quantizers quantizer alphabet kernel draws
    recording asset memory recent report trace registry choice progress error array version
""".split()  # noqa: SIM905 - the list reads as the layers it describes
"""Top modules of sdqviz (and the scripts beside it), highest first; each may import only those after it."""

HOME: dict[str, set[str]] = {
    "streamlit": {"app", "pages", "ui"},
    "plotly": {"plots"},
    "numba": {"kernel"},
    "typer": {"cli"},
    "rich": {"cli"},
    "torch": set(ORDER[ORDER.index("preset") : ORDER.index("layer") + 1]) | {"doctor"},
    "torchvision": {"networks", "network", "training", "dataset"},
    "networkx": {"channel_groups"},
    "dask": {"sweep"},
    "distributed": {"sweep"},
    "joblib": {"sweep"},
    "onnx": {"export"},
    "onnxscript": {"export"},
    "brevitas": set(),
    "torch_pruning": set(),
}
"""Where each large library may be imported, at the top of a file or inside a function."""

BANNED = {"utils", "util", "helpers", "helper", "common", "core", "manager", "misc"}


def source_files() -> list[Path]:
    return sorted([*(ROOT / "sdqviz").rglob("*.py"), *(ROOT / "pages").glob("*.py"), ROOT / "app.py"])


def place(path: Path) -> str:
    """Name the entry of `ORDER` a file belongs to: sdqviz/frames/harmonic.py -> frames."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[1] if parts[0] == "sdqviz" else parts[0]


def imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield every imported module, wherever in the file, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield "." * node.level + (node.module or ""), node.lineno
            elif node.module == "sdqviz":
                yield from ((f"sdqviz.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield node.module or "", node.lineno


def violations(path: Path, source: str) -> list[str]:
    here, found = place(path), []
    for name, line in imported(ast.parse(source)):
        where = f"{path.relative_to(ROOT)}:{line} imports {name}"
        top, *rest = name.split(".")
        if name.startswith("."):
            found.append(f"{where}: relative import")
        elif top in HOME and here not in HOME[top]:
            found.append(f"{where}: {top} belongs to {', '.join(sorted(HOME[top])) or 'tests'}")
        elif top == "sdqviz" and here != "__init__" and rest:
            if rest[0] == "__version__":
                continue
            if rest[0] not in ORDER or here not in ORDER:
                found.append(f"{where}: not in the list")
            elif rest[0] != here and ORDER.index(rest[0]) < ORDER.index(here):
                found.append(f"{where}: upwards, {here} comes after {rest[0]}")
    return found


def test_imports_go_only_down_and_libraries_stay_home():
    assert [v for path in source_files() for v in violations(path, path.read_text("utf-8"))] == []


def test_every_module_has_its_place_and_a_telling_name():
    for path in source_files():
        if path != ROOT / "sdqviz" / "__init__.py":
            assert place(path) in ORDER, f"{path.relative_to(ROOT)} is not in the list"
        assert not BANNED & set(path.relative_to(ROOT).with_suffix("").parts), path


@pytest.mark.parametrize(
    ("file", "line", "complaint"),
    [
        ("sdqviz/frame.py", "from sdqviz.compression import compress", "upwards, frame comes after compression"),
        ("sdqviz/frame.py", "def f():\n    import torch", "torch belongs to"),
        ("sdqviz/frames/harmonic.py", "from sdqviz import methods", "upwards, frames comes after methods"),
        ("sdqviz/ui/show.py", "import plotly.graph_objects as go", "plotly belongs to plots"),
        ("sdqviz/plots/network.py", "import streamlit as st", "streamlit belongs to app, pages, ui"),
        ("sdqviz/bound.py", "from numba import njit", "numba belongs to kernel"),
        ("sdqviz/frame.py", "from .choice import Choice", "relative import"),
        ("sdqviz/frame.py", "import sdqviz.leftovers", "not in the list"),
        ("pages/frames.py", "from sdqviz.ui import show\nimport torch", "torch belongs to"),
    ],
)
def test_the_guard_sees_a_breach(file, line, complaint):
    found = violations(ROOT / file, line)
    assert len(found) == 1 and complaint in found[0]
    assert violations(ROOT / file, "import numpy\nfrom sdqviz.error import InputError") == []


def test_pages_only_choose_run_and_show():
    for page in (ROOT / "pages").glob("*.py"):
        lines = [line for line in page.read_text("utf-8").splitlines() if line.strip()]
        assert len(lines) <= 150, f"{page.name} has {len(lines)} lines; arithmetic and drawing belong below the pages"
