"""The figures of speed: what is timed is what it says, and how they are told."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

import sdqviz as sq
from sdqviz.experiments import bench, bench_beside
from sdqviz.experiments import bench_figures as figures

ROOT = Path(sq.__file__).resolve().parents[1]
IMPORT = len(bench.WORK) - 2
"""The quickest piece of work."""

FIGURES = (figures.Figure("a", "b", 0.002, 0.001, "2", 1.5), figures.Figure("c", "d", 0.05, 1.0, "1"))


def test_a_table_has_times_ratio_goal_reference_and_threads(tmp_path):
    here = figures.Bench(FIGURES, bench.processor(), 0.2, "numpy 2")
    there = figures.Bench((figures.Figure("a", "b", 0.0013, 0.001, "2"),), "another", 7.0, "numpy 1")
    assert figures.table(here, there)[1:] == [
        ("a", "2.0", "b", "1.0", "2.00", "≤ 1.50", "1.30", "2"),
        ("c", "50.0", "d", "1000.0", "1/20.0", "", "", "1"),
    ]
    assert figures.table(here)[1][6] == ""
    assert "cores" in figures.where(here) and "load" not in figures.where(here) and "load 7.0" in figures.where(there)
    here.write(tmp_path / "bench.json")
    assert figures.Bench.read(tmp_path / "bench.json") == here
    assert figures.Bench.read(tmp_path / "none.json") is None
    (tmp_path / "bench.json").write_text('{"figures": [1]}')
    with pytest.raises(sq.InputError, match=r"bench.json must hold figures of speed, got"):
        figures.Bench.read(tmp_path / "bench.json")


def test_the_shipped_reference_can_be_read_and_says_how_busy_the_machine_was():
    known = figures.reference()
    assert known is not None and known.load >= 0 and len({(one.name, one.yardstick) for one in known.figures}) > 10
    assert all(one.seconds > 0 and one.beside > 0 for one in known.figures)


def test_a_table_tells_what_another_code_took(tmp_path):
    known = figures.Figure("a", "b", 0.002, 0.001, "2", before=0.004)
    here = figures.Bench((known, FIGURES[1]), "this", 0.0, "numpy 2", "older (0.2.0)")
    assert [row[-2:] for row in figures.table(here)] == [("before, ms", "now / before"), ("4.0", "1/2.0"), ("", "")]
    assert figures.where(here).endswith("numpy 2; before: older (0.2.0)")
    here.write(tmp_path / "bench.json")
    assert figures.Bench.read(tmp_path / "bench.json") == here


def test_a_checkout_beside_itself_gives_the_same_figures_in_turns():
    told = []
    found, other = bench_beside.measure_beside(str(ROOT), [IMPORT], lambda done, total, _: told.append((done, total)))
    assert [one.name for one in found] == ["import sdqviz"] and other == f"{ROOT.name} ({sq.__version__})"
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    assert all(one.seconds > 0 and one.beside > 0 and one.before is not None and one.before > 0 for one in found)
    none, installed = bench_beside.measure_beside(sys.executable, [])  # the same, or another one, in site-packages
    assert none == () and re.fullmatch(r".+ \(\d+\.\d+\..+\)", installed)


def test_figures_that_only_one_of_two_codes_has_stay_without_a_before(tmp_path):
    # what a worker takes from the code it measures is all that another version must have
    code = tmp_path / "sdqviz"
    (code / "experiments").mkdir(parents=True)
    (code / "__init__.py").write_text("__version__ = '0.0.1'\n")
    (code / "experiments" / "__init__.py").touch()
    (code / "experiments" / "bench.py").write_text(
        "import dataclasses\n@dataclasses.dataclass\nclass Figure:\n"
        "    name: str; yardstick: str; seconds: float; beside: float; threads: str; news: int = 1\n"
        "print('said aloud')\nWORK = [lambda: [Figure('x', 'y', 1, 1, '1')]] * 2\n"
    )
    found, other = bench_beside.measure_beside(str(tmp_path), [IMPORT])
    assert [one.before for one in found] == [None] and other == f"{tmp_path.name} (0.0.1)"


@pytest.mark.parametrize("kind", ["nothing", "folder", "text", "no Python", "no figures", "no answer"])
def test_what_cannot_be_measured_beside_is_refused_in_a_sentence(kind, tmp_path):
    given = {
        "nothing": tmp_path / "none",
        "folder": tmp_path,
        "no Python": Path("/bin/ls"),
        "no answer": Path("/bin/echo"),
    }
    path = given.get(kind, tmp_path / "text")
    if kind == "text":
        path.write_text("no program")
        path.chmod(0o755)
    if kind == "no figures":
        path = tmp_path
        (tmp_path / "sdqviz").mkdir()
        (tmp_path / "sdqviz" / "__init__.py").touch()
    with pytest.raises(
        sq.InputError, match=r"^beside must be the folder of a checkout, .* installed, got .*\S$"
    ) as told:
        bench_beside.measure_beside(str(path), [])
    assert str(path) in str(told.value) and "\n" not in str(told.value)


@pytest.mark.slow
def test_every_figure_is_measured_and_printed():
    told = []
    found = bench.measure(lambda done, total, _: told.append((done, total)))
    print(
        "\n"
        + "\n".join("  ".join(row) for row in figures.table(found, figures.reference()))
        + f"\n{figures.where(found)}"
    )
    assert told[-1] == (len(bench.WORK), len(bench.WORK)) and np.isfinite([one.ratio for one in found.figures]).all()
    known = figures.reference()
    assert {one.name for one in found.figures} == {one.name for one in known.figures}
