"""Removal: the recipe, what it refuses, the catalogue, norms that count zeros, and random networks."""

import copy
import dataclasses
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from sdqviz import NETWORKS
from sdqviz.error import InputError
from sdqviz.networks.blocks.short_norm import ShortGroupNorm, ShortLayerNorm, ShortRMSNorm
from sdqviz.pruning import removal
from sdqviz.pruning.dependency import groups

OWN = ["mnist-fnn", "mnist-residual", "mnist-lenet", "resnet20", "vgg7", "vit-tiny"]


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def image(batch=2, seed=0):
    return random(batch, 1, 28, 28, seed=seed)


def some_units(found, share, seed):
    """Draw a share of the units of each prunable group, at least one, never all."""
    rng = np.random.default_rng(seed)
    return {
        place: rng.choice(
            found.groups[place].units,
            min(max(1, round(share * found.groups[place].units)), found.groups[place].units - 1), replace=False,
        )
        for place in found.prunable
    }  # fmt: skip


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


# -- the catalogue ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_catalogue_cut_equals_zeroed(name, share, draw_parameters):
    module = draw_parameters(NETWORKS[name](seed=0).layout())
    found = groups(module, image(1))
    removed = some_units(found, share, seed=3)
    smaller = removal.remove(module, found.recipe(removed))
    zeroed = found.masked(module, removed)
    with torch.no_grad():
        assert (smaller(image(4)) - zeroed(image(4))).abs().max() <= 1e-5
        assert (zeroed(image(4)) - module(image(4))).abs().max() > 1e-3
    assert parameters(smaller) < parameters(module)


def test_widths_after_removal_by_hand(draw_parameters):
    module = draw_parameters(NETWORKS["mnist-lenet"](seed=0).layout())
    found = groups(module, image())
    smaller = removal.remove(module, found.recipe({0: [0], 1: [2, 3, 5], 2: range(20)}))
    assert [
        (smaller.conv1.in_channels, smaller.conv1.out_channels), (smaller.conv2.in_channels, smaller.conv2.out_channels)
    ] == [(1, 5), (5, 13)]  # fmt: skip
    assert (smaller.norm1.num_features, smaller.norm2.num_features) == (5, 13)
    assert (smaller.hidden.in_features, smaller.hidden.out_features) == (13 * 25, 100)
    assert (smaller.output.in_features, smaller.output.out_features) == (100, 10)
    # conv1, norm1, conv2, norm2, hidden, output
    assert parameters(smaller) == 5 * 26 + 10 + 13 * (5 * 25 + 1) + 26 + 100 * (325 + 1) + 10 * 101
    torch.testing.assert_close(smaller.conv2.weight[0], module.conv2.weight[0, 1:])
    assert type(smaller) is nn.Sequential and {type(part) for part in smaller} == {type(part) for part in module}


def test_the_smaller_network_can_be_trained_and_cut_again(draw_parameters):
    module = draw_parameters(NETWORKS["vit-tiny"](seed=0).layout())
    found = groups(module, image())
    smaller = removal.remove(module, found.recipe(some_units(found, 0.4, 0)))
    again = groups(smaller, image())
    assert sum(group.prunable for group in again.groups) == sum(
        group.prunable and all("norm" not in layer for layer in group.layers) for group in found.groups
    )  # all but the width of tokens: its norms already count zeros
    removed = some_units(again, 0.4, 1)
    smallest = removal.remove(smaller, again.recipe(removed))
    with torch.no_grad():
        assert (smallest(image()) - again.masked(smaller, removed)(image())).abs().max() <= 1e-5
    smallest.train()(image()).square().mean().backward()
    assert all(parameter.grad is not None for parameter in smallest.parameters())


# -- the recipe ----------------------------------------------------------------------------------------


def test_the_recipe_survives_json_and_is_enough(draw_parameters):
    choice = NETWORKS["vit-tiny"](seed=0)
    module = draw_parameters(choice.layout())
    found = groups(module, image())
    recipe = found.recipe(some_units(found, 0.5, 0))
    back = removal.Cut.from_dict(json.loads(json.dumps(recipe.to_dict())))
    assert back == recipe
    # a fresh module of the architecture, cut by the recipe alone, takes the weights of the smaller one
    smaller, fresh = removal.remove(module, recipe), removal.remove(choice.layout().eval(), back)
    fresh.load_state_dict(smaller.state_dict())
    with torch.no_grad():
        assert torch.equal(fresh(image()), smaller(image()))
    for path, tensor in module.state_dict().items():
        assert recipe.sliced(path, tensor).shape == smaller.state_dict()[path].shape


def test_nothing_given_is_changed(draw_parameters):
    module = draw_parameters(NETWORKS["mnist-lenet"](seed=0).layout())
    before = copy.deepcopy(module.state_dict())
    found = groups(module, image())
    recipe = found.recipe({0: [1]})
    smaller, zeroed = removal.remove(module, recipe), found.masked(module, {0: [1]})
    with torch.no_grad():
        for one in (*smaller.parameters(), *zeroed.parameters()):
            one.add_(1)
    assert all(torch.equal(tensor, before[path]) for path, tensor in module.state_dict().items())
    assert not found.recipe({}).kept and not found.recipe({0: []}).kept


@pytest.mark.parametrize(
    ("removed", "message"),
    [
        ({4: [0]}, "removed must name groups 0 to 3, got 4"),
        ({-1: [0]}, "removed must name groups 0 to 3, got -1"),
        ({3: [0]}, "removed must name prunable groups, got output: the channels reach the output"),
        ({0: [6]}, "removed must name units 0 to 5 of group conv1"),
        ({0: [-1]}, "removed must name units 0 to 5 of group conv1"),
        ({0: range(6)}, "removed must leave at least one unit of group conv1, got all 6"),
    ],
)
def test_impossible_removals_are_refused(removed, message):
    module = NETWORKS["mnist-lenet"](seed=0).layout()
    found = groups(module, image())
    with pytest.raises(InputError, match=message):
        found.recipe(removed)
    with pytest.raises(InputError, match=message):
        found.masked(module, removed)


def test_recipes_of_other_networks_and_damaged_ones_are_refused():
    found = groups(NETWORKS["mnist-lenet"](seed=0).layout(), image())
    recipe = found.recipe({0: [1]})
    with pytest.raises(InputError, match=r"conv1.weight must have shape \(6, 1, 5, 5\) to be cut, got none"):
        removal.remove(NETWORKS["mnist-fnn"](seed=0).layout(), recipe)
    with pytest.raises(InputError, match="to be cut, got"):
        removal.remove(removal.remove(NETWORKS["mnist-lenet"](seed=0).layout(), recipe), recipe)
    for damaged in ({}, {**recipe.to_dict(), "kept": [1]}, {**recipe.to_dict(), "shapes": {"a": "b"}}):
        with pytest.raises(InputError, match="cut must be a recipe that sdqviz wrote"):
            removal.Cut.from_dict(damaged)
    beyond = dataclasses.replace(recipe, kept={"conv1.weight": {0: (0, 6)}})
    with pytest.raises(InputError, match=r"cut must keep some of the entries 0 to 5 of conv1.weight"):
        removal.remove(NETWORKS["mnist-lenet"](seed=0).layout(), beyond)


# -- norms that count zeros -----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_short_norms_equal_the_whole_ones_on_zeros(seed):
    rng = np.random.default_rng(seed)
    kept = torch.from_numpy(np.sort(rng.choice(12, 7, replace=False)))
    x, scale, shift = random(4, 5, 12, seed=seed), random(12, seed=seed + 9), random(12, seed=seed + 99)
    zeros = torch.zeros_like(x)
    zeros[..., kept] = x[..., kept]
    part = nn.Parameter(scale[kept]), nn.Parameter(shift[kept])
    short = ShortLayerNorm(*part, entries=12, eps=1e-5)(x[..., kept])
    torch.testing.assert_close(short, functional.layer_norm(zeros, (12,), scale, shift, 1e-5)[..., kept])
    first = ShortLayerNorm(*part, entries=12, eps=1e-5, first=True)(x[..., kept].movedim(-1, 1))
    torch.testing.assert_close(first.movedim(1, -1), short)
    root = ShortRMSNorm(part[0], 12, None)(x[..., kept])
    torch.testing.assert_close(root, functional.rms_norm(zeros, (12,), scale)[..., kept])


def test_a_short_group_norm_equals_the_whole_one_on_zeros():
    x, scale, shift = random(3, 12, 4, 4), random(12, seed=1), random(12, seed=2)
    kept = torch.tensor([0, 2, 5, 6, 8, 11])  # three in each of two groups
    zeros = torch.zeros_like(x)
    zeros[:, kept] = x[:, kept]
    short = ShortGroupNorm(2, nn.Parameter(scale[kept]), nn.Parameter(shift[kept]), 12, 1e-5)(x[:, kept])
    torch.testing.assert_close(short, functional.group_norm(zeros, 2, scale, shift, 1e-5)[:, kept])


def test_cut_norms_say_what_they_count(draw_parameters):
    module = draw_parameters(nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 3)))
    found = groups(module, torch.ones(1, 4))
    smaller = removal.remove(module, found.recipe({0: [0, 4]}))
    assert str(smaller[1]) == "ShortLayerNorm(4 of 6, eps=1e-05)"
    assert set(smaller.state_dict()) == set(module.state_dict())


# -- random networks --------------------------------------------------------------------------------------


class Residual(nn.Module):
    def __init__(self, width, inner, norm):
        super().__init__()
        self.one, self.two = nn.Conv2d(width, inner, 3, padding=1), nn.Conv2d(inner, width, 1)
        self.norm = norm(inner)

    def forward(self, x):
        return x + self.two(torch.relu(self.norm(self.one(x))))


class Branches(nn.Module):
    def __init__(self, width, inner, norm):
        super().__init__()
        self.one, self.two = nn.Conv2d(width, inner, 1), nn.Conv2d(width, 4, 3, padding=1)
        self.norm, self.back = norm(inner + 4), nn.Conv2d(inner + 4, width, 1)

    def forward(self, x):
        return self.back(functional.silu(self.norm(torch.cat([self.one(x), self.two(x)], 1))))


class Inverted(nn.Module):
    """Wide, depthwise, squeezed and excited, narrow."""

    def __init__(self, width, inner, norm):
        super().__init__()
        self.wide, self.deep = nn.Conv2d(width, inner, 1), nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.down, self.up = nn.Conv2d(inner, 2, 1), nn.Conv2d(2, inner, 1)
        self.norm, self.narrow = norm(inner), nn.Conv2d(inner, width, 1)

    def forward(self, x):
        y = functional.hardswish(self.norm(self.deep(self.wide(x))))
        return x + self.narrow(y * torch.sigmoid(self.up(torch.relu(self.down(y.mean((2, 3), keepdim=True))))))


class Grouped(nn.Module):
    def __init__(self, width, inner, norm):
        super().__init__()
        self.one, self.two = nn.Conv2d(width, inner, 1), nn.Conv2d(inner, width, 3, padding=1, groups=2)
        self.norm = norm(inner)

    def forward(self, x):
        return functional.channel_shuffle(self.two(torch.relu(self.norm(self.one(x)))), 2)


class Gated(nn.Module):
    def __init__(self, width, inner, norm):
        super().__init__()
        self.one, self.two, self.scale = nn.Conv2d(width, 2 * inner, 1), nn.Conv2d(inner, width, 1), nn.Parameter(
            torch.ones(width, 1, 1)
        )  # fmt: skip
        self.norm = norm(width)

    def forward(self, x):
        left, right = self.one(self.norm(x)).chunk(2, 1)
        return x + self.scale * self.two(left * torch.tanh(right))


class Attending(nn.Module):
    """Attention over places with two heads, its widths read from the tensors."""

    def __init__(self, width, inner, norm):
        super().__init__()
        self.norm, self.widths = nn.LayerNorm(width), nn.Linear(width, 3 * inner)
        self.back = nn.Linear(inner, width)

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        parts = self.widths(self.norm(tokens)).unflatten(-1, (3, 2, -1)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(*parts.unbind(0))
        return x + self.back(mixed.transpose(1, 2).flatten(2)).transpose(1, 2).unflatten(2, x.shape[2:])


class Space(nn.Module):
    def __init__(self, width, inner, norm):
        super().__init__()
        self.pool = nn.MaxPool2d(3, 1, 1)

    def forward(self, x):
        return functional.interpolate(self.pool(x), size=x.shape[2:]).roll(1, 3).flip(2)


BLOCKS = [Residual, Branches, Inverted, Grouped, Gated, Attending, Space]
NORMS = [nn.BatchNorm2d, lambda width: nn.GroupNorm(2, width), lambda width: nn.Identity()]


class Made(nn.Module):
    def __init__(self, blocks, width, flat):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.Sequential(*(kind(width, inner, norm) for kind, inner, norm in blocks))
        self.flat = flat
        self.out = nn.Linear(width * 36 if flat else width, 3)

    def forward(self, x):
        x = self.blocks(self.stem(x))
        return self.out(x.flatten(1) if self.flat else x.mean((2, 3)))


@settings(max_examples=25, derandomize=True)
@given(
    blocks=st.lists(
        st.tuples(st.sampled_from(BLOCKS), st.sampled_from([4, 8, 12]), st.sampled_from(NORMS)), min_size=1, max_size=4
    ),
    width=st.sampled_from([4, 8]),
    flat=st.booleans(),
    share=st.floats(0.1, 0.9),
    seed=st.integers(0, 99),
)
def test_random_networks_cut_equal_zeroed(draw_parameters, blocks, width, flat, share, seed):
    module = draw_parameters(Made(blocks, width, flat), seed)
    found = groups(module, random(1, 3, 6, 6))
    removed = some_units(found, share, seed)
    smaller = removal.remove(module, found.recipe(removed))
    zeroed = found.masked(module, removed)
    x = random(2, 3, 6, 6, seed=seed)
    with torch.no_grad():
        torch.testing.assert_close(smaller(x), zeroed(x), rtol=1e-4, atol=1e-5)
    for place, units in removed.items():  # every unit takes its parameters along
        for one in found.groups[place].dependencies:
            before, after = module.state_dict()[one.parameter], smaller.state_dict()[one.parameter]
            assert after.shape[one.dim] < before.shape[one.dim] or not np.isin(one.unit, units).any()
    stays = [group.name for group in found.groups if not group.prunable and group.units > 1]
    assert stays == ["out"]  # nothing here is in anything's way
