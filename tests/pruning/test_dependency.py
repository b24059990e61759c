"""The dependency graph: quantizers in layers, what is kept and why, how it is drawn, and networks that are refused."""

import copy
import json

import pytest
import torch
from torch import nn
from torch.nn import functional

from sdqviz import NETWORKS
from sdqviz.error import InputError
from sdqviz.networks.learned_quantizer import LearnedQuantizer, quantize_input, quantize_weight
from sdqviz.networks.network import Network
from sdqviz.pruning import removal
from sdqviz.pruning.dependency import groups
from sdqviz.pruning.outline import Vertex


def image(batch=2, channels=1, size=28):
    return torch.randn((batch, channels, size, size), generator=torch.Generator().manual_seed(0))


def lenet():
    return NETWORKS["mnist-lenet"](seed=0).layout()


# -- quantizers belong to the layer they feed ------------------------------------------------------


class Rounding(torch.autograd.Function):
    """d·sgn(x)·round(min(|x|, q)^t/d), with the gradient of the identity."""

    @staticmethod
    def forward(ctx, x, step, reach, exponent):
        return step * torch.sign(x) * torch.round(torch.minimum(x.abs(), reach) ** exponent / step)

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None, None, None


class Quantizer(nn.Module):
    def __init__(self, step=0.01, reach=2.0):
        super().__init__()
        self.step, self.reach = nn.Parameter(torch.tensor(step)), nn.Parameter(torch.tensor(reach))
        self.exponent = nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        return Rounding.apply(x, self.step, self.reach, self.exponent)


class QuantizedConv(nn.Conv2d):
    def forward(self, x):
        return self._conv_forward(self.input_quantizer(x), self.weight_quantizer(self.weight), self.bias)


class QuantizedLinear(nn.Linear):
    def forward(self, x):
        return functional.linear(self.input_quantizer(x), self.weight_quantizer(self.weight), self.bias)


def quantized(module):
    """Return a twin whose layers all quantize their input and their weight."""
    twin = copy.deepcopy(module)
    for part in list(twin.modules()):
        kind = {nn.Conv2d: QuantizedConv, nn.Linear: QuantizedLinear}.get(type(part))
        if kind is not None:
            part.__class__ = kind
            part.weight_quantizer, part.input_quantizer = Quantizer(), Quantizer()
    return twin


def learned(module):
    """Return a twin with the quantizers of the package: attached to weights, inserted by hooks before layers."""
    twin = copy.deepcopy(module)
    for part in list(twin.modules()):
        if type(part) in (nn.Conv2d, nn.Linear):
            quantize_weight(part, LearnedQuantizer.for_weight(part.weight, 16))
            quantize_input(part, LearnedQuantizer.for_activations(4.0, 16))
    return twin


def plain(found):
    """Return everything about the groups that can be compared."""
    return [
        (
            group.name, group.units, group.prunable, group.because,
            [(d.parameter, d.dim, d.role, d.zeroed, d.index.tolist(), d.unit.tolist()) for d in group.dependencies],
        )
        for group in found.groups
    ]  # fmt: skip


@pytest.mark.parametrize("twin", [quantized, learned])
@pytest.mark.parametrize("name", ["mnist-lenet", "resnet20"])
def test_a_quantized_network_has_the_groups_of_its_float_twin(name, twin, draw_parameters):
    module = draw_parameters(NETWORKS[name](seed=0).layout())
    found, wanted = groups(twin(module), image()), groups(module, image())
    assert plain(found) == plain(wanted)
    assert (found.vertices, found.edges) == (wanted.vertices, wanted.edges)  # quantizers are merged into layers
    assert not wanted.owned
    layers = [name for name, part in module.named_modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    assert found.owned == {
        layer: tuple(
            f"{layer}.{which}_quantizer.{number}"
            for which in ("input", "weight")
            for number in ("exponent", "reach", "step")
        )
        for layer in layers
    }
    members = {one.parameter for group in found.groups for one in group.dependencies}
    assert not members & {number for numbers in found.owned.values() for number in numbers}


@pytest.mark.parametrize("twin", [quantized, learned])
def test_a_quantized_network_is_cut_like_its_twin(twin, draw_parameters):
    module = twin(draw_parameters(lenet()))
    found = groups(module, image())
    removed = {0: [1, 3], 1: range(8), 2: range(0, 120, 3)}
    zeroed, smaller = found.masked(module, removed), removal.remove(module, found.recipe(removed))
    with torch.no_grad():
        torch.testing.assert_close(smaller(image()), zeroed(image()), rtol=1e-5, atol=1e-5)
        assert not torch.equal(zeroed(image()), module(image()))
    assert (smaller.conv1.out_channels, smaller.conv2.out_channels, smaller.hidden.out_features) == (4, 8, 80)


# -- what a group is ----------------------------------------------------------------------------------


def test_units_name_their_slices(draw_parameters):
    found = groups(draw_parameters(lenet()), image())
    assert [group.name for group in found.groups] == ["conv1", "conv2", "hidden", "output"]
    slices = {(path, dim): index.tolist() for path, dim, index in found.groups[1].slices(3)}
    assert slices == {
        ("conv2.weight", 0): [3], ("conv2.bias", 0): [3], ("norm2.weight", 0): [3], ("norm2.bias", 0): [3],
        ("norm2.running_mean", 0): [3], ("norm2.running_var", 0): [3],
        ("hidden.weight", 1): list(range(75, 100)),  # a channel of 5 × 5 places, flattened
    }  # fmt: skip
    assert [one.parameter for one in found.groups[1].produced] == [
        "conv2.weight", "conv2.bias", "norm2.weight", "norm2.bias"
    ]  # fmt: skip
    assert found.groups[1].layers == {"conv2", "norm2", "hidden"}


def test_a_group_prints_itself(draw_parameters):
    found = groups(draw_parameters(lenet()), image())
    assert str(found.groups[2]) == (
        "Group hidden: 120 units, prunable\n"
        "  hidden.weight produces along dimension 0 (120 entries)\n"
        "  hidden.bias produces along dimension 0 (120 entries)\n"
        "  output.weight consumes along dimension 1 (120 entries)"
    )
    assert "Group output: 10 units, kept: the channels reach the output of the network" in str(found)


def test_heads_share_units(draw_parameters):
    found = groups(draw_parameters(NETWORKS["vit-tiny"](seed=0).layout()), image())
    group = next(one for one in found.groups if one.name == "blocks.0.attention.query")
    slices = {(path, dim): index.tolist() for path, dim, index in group.slices(2)}
    assert group.units == 4
    for layer in ("query", "key", "value"):
        assert slices[f"blocks.0.attention.{layer}.weight", 0] == list(range(24, 36))  # 4 heads of width 12
    assert slices["blocks.0.attention.output.weight", 1] == list(range(24, 36))
    assert found.numbers["blocks.0.attention.heads"] == (found.groups.index(group), 4)


class Inferred(nn.Module):
    """Attention that works out how many heads there are from their width, and keeps the count beside."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.head_dim, self.all_heads_dim, self.rounds = 3, 4, 12, 3
        self.ask, self.key, self.value = nn.Linear(5, 12), nn.Linear(5, 12), nn.Linear(5, 12)
        self.output = nn.Linear(12, 2)

    def forward(self, tokens):
        split = [one(tokens).unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for one in self._all()]
        return self.output(nn.functional.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2))

    def _all(self):
        return self.ask, self.key, self.value


def test_counts_of_heads_are_true_after_a_cut_that_does_without_them(draw_parameters):
    module = draw_parameters(Inferred())
    found = groups(module, torch.randn(2, 6, 5))
    place = next(place for place in found.prunable if found.groups[place].units == 3)
    smaller = found.cut(module, {place: [1]})
    assert (smaller.heads, smaller.head_dim, smaller.all_heads_dim, smaller.rounds) == (2, 4, 8, 3)
    assert module.heads == 3


@pytest.mark.parametrize("batch", [1, 3])
def test_the_batch_is_never_taken_for_channels(batch, draw_parameters):
    # batches as large as a number of channels, heads or patches
    for name in ("mnist-lenet", "vit-tiny"):
        module = draw_parameters(NETWORKS[name](seed=0).layout())
        assert plain(groups(module, image(batch))) == plain(groups(module, image(12)))


def test_the_network_is_not_changed_and_brings_its_example(draw_parameters):
    module = draw_parameters(lenet()).train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    flags = [parameter.requires_grad for parameter in module.parameters()]
    found = groups(module, image(1))
    assert module.training and flags == [parameter.requires_grad for parameter in module.parameters()]
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert plain(groups(Network(module, image(1)))) == plain(found)


def test_several_inputs_by_place_and_by_name(draw_parameters):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right, self.out = nn.Linear(4, 6), nn.Linear(3, 6), nn.Linear(6, 2)

        def forward(self, x, y):
            return self.out(self.left(x) + self.right(y))

    module, x, y = draw_parameters(Two()), torch.ones(2, 4), torch.ones(2, 3)
    by_place, by_name = groups(module, (x, y)), groups(module, {"y": y, "x": x})
    assert plain(by_place) == plain(by_name)
    assert by_place.groups[0].layers == {"left", "right", "out"}


def test_random_generators_are_left_alone(draw_parameters):
    module, state = draw_parameters(lenet()), torch.get_rng_state()
    groups(module, image())
    assert torch.equal(torch.get_rng_state(), state)


# -- what is kept ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        ("conv1", {"conv1"}),
        (["norm2"], {"conv2"}),
        (["conv1", "hidden.bias"], {"conv1", "hidden"}),
        (["hidden.weight"], {"conv2", "hidden"}),  # both of its dimensions
    ],
)
def test_named_layers_and_parameters_are_kept(keep, kept, draw_parameters):
    found = groups(draw_parameters(lenet()), image(), keep=keep)
    reasons = {group.name: group.because for group in found.groups if not group.prunable}
    assert set(reasons) == {*kept, "output"}
    assert all("was named to be kept" in reasons[name] for name in kept)


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="keep must name modules or parameters of the network, got 'conv9'"):
        groups(lenet(), image(), keep=["conv9"])


def test_a_network_without_prunable_channels_says_so():
    found = groups(nn.Sequential(nn.Linear(4, 3)), torch.ones(1, 4))
    with pytest.raises(InputError, match=r"must have channels that can be removed, got none .*reach the output"):
        found.require_prunable()
    assert groups(nn.Sequential(nn.ReLU()), torch.ones(1, 4)).groups == ()
    with pytest.raises(InputError, match="it has no channels"):
        groups(nn.Sequential(nn.ReLU()), torch.ones(1, 4)).require_prunable()
    assert groups(lenet(), image()).require_prunable() == (0, 1, 2)


# -- networks that cannot be traced ---------------------------------------------------------------------


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(4, 3)

    def forward(self, x):
        y = self.dense(x)
        if y.sum() > 0:
            y = 2 * y
        return y


class Choosing(Branching):
    def forward(self, x):
        y = self.dense(x)
        return y[y > 0].sum()


class Conditional(Branching):
    def forward(self, x):
        y = self.dense(x)
        return torch.cond(y.sum() > 0, lambda a: 2 * a, lambda a: 3 * a, (y,))


class Leaving(Branching):
    def forward(self, x):
        return torch.from_numpy(self.dense(x).detach().numpy() + 1)


class Failing(nn.Module):
    def forward(self, x):
        return x / (1 // 0)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Branching(), r"`if y.sum\(\) > 0:` in forward \(.*test_dependency.py, line \d+\), which depends on the value"),
        (nn.Sequential(nn.Linear(4, 4), Choosing()), r"shapes do not depend on their values, got .*index in 1"),
        (Conditional(), "without control flow of its own, got cond"),
        (Leaving(), "must make its output of its input by tensor operations"),
        (nn.Sequential(nn.Linear(4, 3), Failing()), r"ZeroDivisionError in forward \(.*test_dependency.py, line \d+\)"),
        (nn.Sequential(nn.Linear(5, 4)), "must take the example"),
    ],
)
def test_what_cannot_be_traced_is_named(module, message, capfd):
    with pytest.raises(InputError, match=message) as raised:
        groups(module, torch.ones(2, 4))
    assert "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")


def test_a_module_needs_an_example():
    with pytest.raises(InputError, match="example must be given"):
        groups(nn.Linear(4, 3))


# -- as it is drawn -----------------------------------------------------------------------------------


def test_vertices_and_edges(draw_parameters):
    module = draw_parameters(NETWORKS["resnet20"](seed=0).layout())
    found = groups(module, image())
    names = [vertex.name for vertex in found.vertices]
    layers = {name for name, part in module.named_modules() if list(part.parameters(recurse=False))}
    assert layers <= set(names)
    joins = [vertex for vertex in found.vertices if vertex.name not in layers]
    assert [vertex.kind for vertex in joins] == ["add"] * 9  # one for each block
    first = names.index("conv")
    assert found.vertices[first] == Vertex("conv", "Conv2d", (0,), 8, 8)
    # data flows from every layer but the last, and into every one but the first
    sources, targets = {a for a, _ in found.edges}, {b for _, b in found.edges}
    assert set(range(len(names))) - sources == {names.index("output")}
    assert set(range(len(names))) - targets == {first}
    into = {b: {names[a] for a, c in found.edges if c == b} for b in targets}
    assert into[names.index("stage2.0.shortcut.0")] == into[names.index("stage2.0.conv1")]


def test_widths_after_removal_and_outlines(draw_parameters):
    module = draw_parameters(lenet())
    found = groups(module, image())
    removed = {0: (1, 2), 2: tuple(range(100))}
    drawn = {vertex.name: (vertex.before, vertex.after) for vertex in found.drawn(removed)}
    smaller = removal.remove(module, found.recipe(removed))
    assert drawn == {
        name: (len(part.weight), len(smaller.get_submodule(name).weight))
        for name, part in module.named_modules()
        if hasattr(part, "weight")
    }
    outlines = found.outlines(removed)
    assert outlines[0].removed == (1, 2) and outlines[1].removed == ()
    assert outlines[2].members[0] == "hidden.weight produces along dimension 0 (120 entries)"
    assert json.loads(json.dumps([vars(one) for one in outlines]))[3]["because"].startswith("the channels reach")


def test_a_layer_that_is_used_twice_ties_what_comes_in_and_out(draw_parameters):
    module = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    looped = draw_parameters(nn.Sequential(nn.Linear(3, 4), module, nn.Linear(4, 4), module, nn.Linear(4, 2)))
    found = groups(looped, torch.ones(1, 3))
    assert len(found.vertices) == 4
    # what goes into the shared layer is tied, and all that takes what comes out
    assert [group.layers for group in found.groups] == [{"0", "1.0", "2"}, {"1.0", "2", "4"}, {"4"}]
