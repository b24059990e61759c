"""The sweep that comes with the package: that of its plan, and recomputed in part."""

import pytest

import sdqviz as sq
from sdqviz import asset
from sdqviz.experiments.run_file import read_runs
from sdqviz.experiments.sweep_plan import Plan
from sdqviz.methods import METHODS
from sdqviz.networks.catalogue import NETWORKS

SHIPPED = asset.folder() / "sweeps"


@pytest.fixture(scope="module")
def shipped():
    return read_runs(asset.path("sweeps/mnist.json.gz"))


def test_the_shipped_sweep_is_large_enough_to_choose_from_and_small_enough_to_ship(shipped):
    assert len(shipped) >= 300 and (SHIPPED / "mnist.json.gz").stat().st_size < 1.5e6
    assert {run.network["name"] for run in shipped} == {"mnist-fnn", "mnist-residual", "mnist-lenet"}
    assert {run.method["name"] for run in shipped} == set(METHODS)
    assert not [run.problem for run in shipped if run.problem]
    assert len({run.key for run in shipped}) == len(shipped)
    for run in shipped:
        assert len(run.report.layers) >= 3 and 0.05 < run.report.accuracy_after <= 1
        assert run.report.bits_per_weight > 0 and run.report.bytes > 0


def test_the_shipped_sweep_is_that_of_its_plan(shipped):
    plan = Plan.read(SHIPPED / "mnist.toml")
    asked = [(one.network.to_dict(), one.method.to_dict(), one.calibration) for one in plan.runs]
    assert [(run.network, run.method, run.calibration) for run in shipped] == asked
    assert [(run.seed, run.label) for run in shipped] == [(one.seed, one.label) for one in plan.runs]


LOOSE = {"gpfq", "spfq", "unified", "gptq", "qronos", "frame-calibrated", "frame-columns", "frame-coded"}
"""Methods whose errors drive the later choices: their walks are chaotic, so that a last digit of a product (which
follows the number of BLAS threads and the processor) becomes another level, another weight, another path. What they
give is the same in distribution alone. The others feed no error back: theirs is the same everywhere but for the order
of sums in the forward pass."""


def recomputed(run):
    network = NETWORKS.from_dict(run.network).load()
    again = sq.compress(network, METHODS.from_dict(run.method), run.calibration, run.seed).report
    assert again.bytes == run.report.bytes and again.bits_per_weight == run.report.bits_per_weight
    images, error, weights = (20, 2e-2, 2e-2) if run.method["name"] in LOOSE else (1, 1e-4, 1e-9)
    assert again.accuracy_after == pytest.approx(run.report.accuracy_after, abs=images / 10_000 + 1e-12)
    assert again.relative_output_error == pytest.approx(run.report.relative_output_error, rel=error)
    for mine, theirs in zip(again.layers, run.report.layers, strict=True):
        assert mine.weight_error == pytest.approx(theirs.weight_error, rel=weights)


@pytest.mark.slow
def test_a_part_of_the_shipped_sweep_is_recomputed(shipped):
    quick = {"frame", "round-to-nearest", "magnitude-pruning"}
    for run in [run for run in shipped if run.method["name"] in quick and run.network["name"] == "mnist-fnn"][::12]:
        recomputed(run)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist-fnn", "mnist-residual", "mnist-lenet"])
def test_more_of_the_shipped_sweep_is_recomputed(shipped, name):
    for run in [run for run in shipped if run.network["name"] == name and run.method["name"] != "geta"][::9]:
        recomputed(run)
