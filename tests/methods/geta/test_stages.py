"""The stages of a run, and how many units each period marks."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import sdqviz as sq
from sdqviz.error import InputError
from sdqviz.methods.geta.saliency import least_salient
from sdqviz.methods.geta.stages import Plan, redundant_counts

GETA = sq.METHODS["geta"]


def test_plan_by_hand():
    plan = Plan(warm_up=3, projection=5, joint=7, cool_down=2, projection_periods=2, pruning_periods=3)
    assert plan.steps == 17
    assert [(s.name, s.first, s.last) for s in plan.stages] == [
        ("warm-up", 0, 3), ("projection", 3, 8), ("joint", 8, 15), ("cool-down", 15, 17)
    ]  # fmt: skip
    assert "".join(plan.stage(step)[0] for step in range(18)) == "wwwpppppjjjjjjjccc"
    # periods of 2 and 3 steps: over before steps 5 and 8
    assert [plan.projections_done(step) for step in (0, 4, 5, 7, 8, 16)] == [0, 0, 1, 1, 2, 2]
    # periods of 2, 2 and 3 steps
    assert [plan.period(step) for step in range(8, 15)] == [
        (0, 0, 2), (0, 1, 2), (1, 0, 2), (1, 1, 2), (2, 0, 3), (2, 1, 3), (2, 2, 3)
    ]  # fmt: skip
    assert [plan.target(period, 10) for period in range(3)] == [3, 6, 10]
    assert [plan.rate_share(step) for step in (0, 14, 15)] == [1, 1, 1]
    assert plan.rate_share(16) == pytest.approx(0.5)


@pytest.mark.parametrize(("field", "value"), [("joint_steps", 3), ("projection_steps", 4)])
def test_a_stage_shorter_than_its_periods_is_refused(field, value):
    with pytest.raises(InputError, match=f"{field} must be at least"):
        GETA(projection_periods=5, pruning_periods=4, **{field: value})


@pytest.mark.parametrize(
    ("choice", "complaint"),
    [
        ({"sparsity": 0.0}, "sparsity must be at least"),
        ({"sparsity": 1.0}, "sparsity must be at most"),
        ({"activation_bits_low": 6, "bits_high": 5}, "activation_bits_low must be at most bits_high, 5, got 6"),
        ({"bits_low": 8, "bits_high": 4}, "bits_low must be at most bits_high, 4, got 8"),
    ],
)
def test_choices_that_make_no_sense_are_refused(choice, complaint):
    with pytest.raises(InputError, match=complaint):
        GETA(**choice)


def test_count_of_redundant_units():
    assert redundant_counts(0.5, [6, 16, 120]) == (71, [5, 15, 119])
    with pytest.raises(InputError, match="so that each of the 2 groups keeps a unit"):
        redundant_counts(0.9, [2, 4])
    with pytest.raises(InputError, match="at least one of the 6 units"):
        redundant_counts(0.01, [2, 4])
    with pytest.raises(InputError, match="channels that can be removed"):
        redundant_counts(0.5, [1, 1])


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=8), st.floats(0.05, 0.95), st.sampled_from(["network", "group"])
)
def test_each_group_keeps_a_unit_and_of_each_group_the_same_share_goes(units, sparsity, scope):
    try:
        count, most = redundant_counts(sparsity, units, scope)
    except InputError:
        return
    scores = torch.from_numpy(np.random.default_rng(len(units)).random(sum(units)))
    group = torch.repeat_interleave(torch.arange(len(units)), torch.tensor(units))
    gone = least_salient(scores, group, torch.ones(len(group), dtype=torch.bool), count, most)
    lost = torch.bincount(group[gone], minlength=len(units)).tolist()
    assert sum(lost) == count and all(own < all_ for own, all_ in zip(lost, units, strict=True))
    if scope == "network":
        assert count == round(sparsity * sum(units))
    else:
        assert lost == [min(round(sparsity * own), own - 1) for own in units]
