"""The question line, refined to its end: the real runs of one method on the smallest shipped network."""

import pytest
import torch  # noqa: F401 - loaded first, so that the page need not read it beside its first answer
from visitor import buttons, press, settled, told, visit

import sdqviz as sq
from sdqviz.experiments.compare import link
from sdqviz.explore.wording import number
from sdqviz.methods import METHODS

NETWORK, METHOD, BUDGET = "mnist-lenet", "round-to-nearest", 2.2


def best(runs):
    """Return the most accurate run of the method within the budget, by looking at one after the other."""
    found = None
    for run in runs:
        if (run.network["name"], run.network["seed"], run.method["name"], run.seed) != (NETWORK, 0, METHOD, 0):
            continue
        if run.report is None or run.report.bits_per_weight > BUDGET:
            continue
        better = found is None or run.report.accuracy_after > found.report.accuracy_after
        tied = found is not None and run.report.accuracy_after == found.report.accuracy_after
        if better or (tied and run.report.bits_per_weight < found.report.bits_per_weight):
            found = run
    return found


def answer(run):
    return f"{100 * run.report.accuracy_after:.2f} % with {number(run.report.bits_per_weight)} bits"


@pytest.mark.slow
def test_a_refined_question_is_answered_from_the_runs_that_were_computed():
    names = sorted(sq.NETWORKS, key=lambda name: sum(w.numel() for w in sq.NETWORKS[name]().load().module.parameters()))
    assert names[0] == NETWORK
    at = visit("compare", network=NETWORK, methods=METHOD, seeds="0", question="best", x_bits=BUDGET)
    before = best(link.shipped())
    assert answer(before) in told(at)

    settled(press(at, "Refine"), seconds=600)
    stored = list(at.session_state["_target memory"].values())
    after = best([*link.shipped(), *stored])
    assert after in stored  # what was at hand has nothing between one bit and this budget
    assert after.report.accuracy_after > before.report.accuracy_after + 0.1
    assert answer(after) in told(at) and answer(before) not in told(at)
    assert f"{len(stored)} more runs were computed for the last refined question" in told(at)

    again = sq.compress(
        sq.NETWORKS[NETWORK](seed=0).load(), METHODS.from_dict(dict(after.method)), calibration=after.calibration
    ).report
    assert again.accuracy_after == after.report.accuracy_after
    assert again.bits_per_weight == after.report.bits_per_weight

    assert not buttons(at)["Refine"].disabled and "Cancel" not in buttons(at)
    assert not at.session_state["_job question compare"].running
    settled(press(at, "Refine"))  # all of it is known: nothing is run again
    assert len(at.session_state["_target memory"]) == len(stored)
    assert "0 more runs were computed" in told(at) and answer(after) in told(at)
