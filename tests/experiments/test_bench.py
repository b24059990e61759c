"""The figures of speed: what is timed is what it says, and how they are told."""

import pytest

from sdqviz.experiments import bench


def test_a_table_has_times_ratio_and_threads():
    figures = (bench.Figure("a", "b", 0.002, 0.001, "2"), bench.Figure("c", "d", 0.5, 1.0, "1"))
    assert bench.table(figures)[1:] == [
        ("a", "2.0", "b", "1.0", "2.00", "2"),
        ("c", "500.0", "d", "1000.0", "0.50", "1"),
    ]
    assert "cores" in bench.processor()


@pytest.mark.slow
def test_every_figure_is_measured_and_printed():
    told = []
    found = bench.measure(lambda done, total, _: told.append((done, total)))
    print("\n" + "\n".join("  ".join(row) for row in bench.table(found)) + f"\n{bench.processor()}")
    assert len(found) == len(bench.WORK) and told[-1] == (len(found), len(found))
    assert all(one.seconds > 0 and one.beside > 0 for one in found)
