"""When a graph or a row of blocks counts as giving what its network gives."""

import pytest
import torch

from sdqviz.methods.calibrated.streams import same_parts


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_rounding_is_no_difference_at_any_scale_and_also_near_zero(scale):
    one = scale * torch.linspace(-1, 1, 1001)
    assert same_parts(one, one + 3e-6 * scale) and same_parts((one, {"a": one}), (one + 3e-6 * scale, {"a": one}))
    assert not same_parts(one, one + 3e-3 * scale) and not same_parts(one, torch.zeros_like(one))


def test_what_is_not_finite_and_what_counts_is_the_same_only_where_it_is_equal():
    one = torch.tensor([1.0, float("nan"), float("inf")])
    assert same_parts(one, one.clone()) and not same_parts(one, torch.tensor([1.0, 2.0, float("inf")]))
    assert same_parts(torch.tensor([True]), torch.tensor([True])) and not same_parts(
        torch.tensor([1]), torch.tensor([2])
    )
    assert same_parts(torch.zeros(0), torch.zeros(0)) and not same_parts(torch.ones(1), torch.ones(1).double())
