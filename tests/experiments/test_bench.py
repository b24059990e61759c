"""The figures of speed: what is timed is what it says, and how they are told."""

import numpy as np
import pytest

import sdqviz as sq
from sdqviz.experiments import bench
from sdqviz.experiments import bench_figures as figures

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
