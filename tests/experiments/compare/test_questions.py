"""The five questions: each answer against trying every point, and what is said where there is none."""

import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdqviz.experiments.compare.entry import entries
from sdqviz.experiments.compare.questions import QUESTIONS, Amounts


def points(*runs):
    return entries(((run, "here") for run in runs), averaged=False)


@pytest.fixture
def some(made_run):
    return points(
        made_run("gpfq", bits=2.0, accuracy=0.96),
        made_run("gptq", bits=3.0, accuracy=0.975),
        made_run("unified", bits=2.1, accuracy=0.95, sparsity=0.6),
        made_run("round-to-nearest", bits=2.02, accuracy=0.9),
        made_run("round-to-nearest", bits=4.02, accuracy=0.98),
        made_run("frame", problem="size must be larger"),
        made_run("frame", bits=1.0, accuracy=None),
    )


def said(name, some, **amounts):
    return QUESTIONS[name][2](some, Amounts(**amounts)).sentence


def test_answers_by_hand(some):
    assert said("smallest", some, accuracy=0.97).endswith("97.00 % is GPTQ (bits per weight 2): 97.50 % with 3 bits.")
    assert said("best", some, bits=2.5) == (
        "The most accurate that costs at most 2.5 bits is GPFQ (bits per weight 2): 96.00 % with 2 bits."
    )
    assert "Unified" in said("zeros", some, bits=2.5, zeros=0.5) and "60.0 % zeros" in said("zeros", some, bits=2.5)
    assert said("bit", some, bits=2.0).startswith("One more bit buys 1.50 points: from GPFQ")
    assert said("rounding", some, bits=3.0).startswith("Plain rounding needs 4.02 bits for it, 1.02 more: Round")


def test_where_there_is_no_answer_that_is_said(some):
    assert said("smallest", some, accuracy=0.99).startswith(
        "No run here keeps at least 99.00 %. The most accurate is Ro"
    )
    assert said("best", some, bits=0.5) == "No run here costs at most 0.5 bits."
    assert said("zeros", some, zeros=0.9, bits=3.0).startswith(
        "No run here has at most 3 bits and at least 90.0 % zeros"
    )
    assert said("bit", some, bits=5.0).startswith("One more bit buys nothing among these runs: Rounding to nearest")
    assert said("bit", some, bits=0.5) == "No run here costs at most 1.5 bits."
    assert said("rounding", some, bits=5.0).startswith("Plain rounding is itself the best there")
    assert said("rounding", [one for one in some if one.values["bits"] < 4], bits=3.0).startswith("No plain rounding")
    for name in QUESTIONS:
        assert "no " in said(name, ()).lower(), name


@settings(max_examples=60)
@given(
    rows=st.lists(st.tuples(st.floats(0.5, 8), st.floats(0.1, 1), st.floats(0, 0.9)), min_size=1, max_size=12),
    bits=st.floats(0.5, 8), accuracy=st.floats(0.1, 1), zeros=st.floats(0.01, 0.9),
)  # fmt: skip
def test_no_other_point_is_a_better_answer(made_run, rows, bits, accuracy, zeros):
    some = points(*(made_run("gpfq", bits=b, accuracy=a, sparsity=z, seed=k) for k, (b, a, z) in enumerate(rows)))
    amounts = Amounts(accuracy, bits, zeros)
    values = [one.values for one in some]
    enough = [one["bits"] for one in values if one["accuracy"] >= accuracy]
    found = QUESTIONS["smallest"][2](some, amounts).entries
    assert found[0].values["bits"] == min(enough) if enough else found[0].values["accuracy"] < accuracy
    for name, fits in (
        ("best", [one["accuracy"] for one in values if one["bits"] <= bits]),
        ("zeros", [one["accuracy"] for one in values if one["bits"] <= bits and one["zeros"] >= zeros]),
    ):
        found = QUESTIONS[name][2](some, amounts).entries
        assert [one.values["accuracy"] for one in found] == ([max(fits)] if fits else [])


def test_amounts_are_numbers_a_form_can_hold():
    assert all(math.isfinite(value) for value in dataclasses.astuple(Amounts()))
    assert {need for _, needs, _ in QUESTIONS.values() for need in needs} == {"accuracy", "bits", "zeros"}


def test_a_sentence_names_a_few_settings_and_counts_the_rest(made_run):
    many = {"sparsity": 0.7, "batch": 7, "joint_steps": 101, "projection_steps": 31, "cool_down_steps": 51}
    few = dict(list(many.items())[:4])
    long, short = points(made_run("geta", choices=many)), points(made_run("geta", choices=few))
    assert long[0].settings.count(",") == 4 and long[0].brief.count(",") == 2
    assert long[0].brief.endswith(" and 2 more settings") and f"({long[0].brief})" in said(
        "smallest", long, accuracy=0.5
    )
    assert short[0].brief == short[0].settings
