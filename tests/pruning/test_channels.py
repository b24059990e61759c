"""Small networks, one for each way channels can depend on each other: what is found, and that zero equals cut."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sdqviz.pruning import removal
from sdqviz.pruning.dependency import groups


class Net(nn.Module):
    """A module whose forward is a function of itself and its input."""

    def __init__(self, function: Callable, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *x):
        return self.function(self, *x)


class StandardisedConv(nn.Conv2d):
    """Weights shifted and scaled by their own moments."""

    def forward(self, x):
        moments = self.weight.mean((1, 2, 3), keepdim=True), self.weight.std((1, 2, 3), keepdim=True)
        return functional.conv2d(x, (self.weight - moments[0]) / moments[1], self.bias, padding=1)


def conv(inputs, outputs, kernel=3, **options):
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, **options)


head = functools.partial(nn.Linear, out_features=5)


def bare(*shape):
    return nn.Parameter(torch.zeros(shape))


IMAGE, TOKENS, OUT = (2, 3, 8, 8), (2, 5, 12), "reach the output"


@dataclasses.dataclass(frozen=True)
class Case:
    """A network, the shape of its input, and by group its units, or a part of the reason why it is kept."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    found: dict[str, int | str]


def sample(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def images(function, units, width=8, **parts):
    """An image network: conv 3 -> ``width`` called a, the function, the mean over space, a dense layer out."""
    built = {"a": lambda: conv(3, width), **parts}

    def build():
        made = {name: part() for name, part in built.items()}
        made.setdefault("out", head(width))
        return Net(lambda net, x: net.out(function(net, net.a(x)).mean((2, 3))), **made)

    return Case(build, IMAGE, {**units, "out": OUT})


def tokens(function, units, width=8, into=None, **parts):
    """A network on tokens: dense 12 -> ``width`` called a, the function, a dense layer out."""
    built = {"a": lambda: nn.Linear(12, width), **parts}

    def build():
        made = {name: part() for name, part in built.items()}
        made.setdefault("out", head(into or width))
        return Net(lambda net, x: net.out(function(net, net.a(x))), **made)

    return Case(build, TOKENS, {**units, "out": OUT})


def excited(net, y):
    return y * torch.sigmoid(net.up(torch.relu(net.down(y.mean((2, 3), keepdim=True)))))


def attended(scale, heads=3):
    """Attention of heads of width 4 from one layer a for queries, keys and values."""

    def function(net, qkv):
        query, key, value = qkv.reshape(*qkv.shape[:2], 3, heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        if scale is None:
            mixed = functional.scaled_dot_product_attention(query, key, value)
        elif scale == "einsum":
            scores = torch.einsum("bhnd,bhmd->bhnm", query, key).mul(0.5).softmax(-1)
            mixed = torch.einsum("bhnm,bhmd->bhnd", scores, value)
        else:
            mixed = (query @ key.transpose(-2, -1) * scale(query)).softmax(-1) @ value
        return net.mix(mixed.transpose(1, 2).flatten(2))

    return function


def padded_shortcut(net, x):
    y = torch.relu(net.b(x))
    return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2)) + y


def rounded(weight, step):
    return step * torch.sign(weight) * torch.round(weight.abs() / step)


def shifted_in_time(y):
    z = torch.zeros_like(y)
    z[:, 1:] = y[:, :-1]
    return z


def write_over(y):
    y[:, :4] = torch.relu(y[:, :4])
    return y


def mixed_positions(net, y):
    return y + net.t2(functional.gelu(net.t1(y.transpose(1, 2)))).transpose(1, 2)


CASES = {
    # joins
    "residual": images(lambda net, y: torch.relu(y) + net.b(torch.relu(y)), {"a": 8}, b=lambda: conv(8, 8)),
    "cat": images(
        lambda net, y: torch.cat([y, net.b(y)], 1), {"a": 8, "b": 4}, b=lambda: conv(8, 4), out=lambda: head(12)
    ),
    "squeeze-excite": images(
        excited, {"a": 8, "down": 4}, down=lambda: conv(8, 4, 1), up=lambda: conv(4, 8, 1)
    ),
    "product": tokens(lambda net, y: y * net.b(y), {"a": 8}, b=lambda: nn.Linear(8, 8)),
    "map over space": images(lambda net, y: y * torch.sigmoid(net.b(y)), {"a": 8, "b": "single"}, b=lambda: conv(8, 1)),
    "outer product": tokens(
        lambda net, y: (y[..., :, None] * net.b(y)[..., None, :]).flatten(2),
        {"a": "different dimensions", "b": "different dimensions"}, b=lambda: nn.Linear(8, 3), into=24,
    ),
    "padded shortcut": images(
        padded_shortcut, {"a": "fixed size"}, b=lambda: conv(8, 12, stride=2), out=lambda: head(12)
    ),
    # convolutions
    "grouped": images(lambda net, y: net.b(y), {"a": 2, "b": 3}, b=lambda: conv(8, 12, groups=4), out=lambda: head(12)),
    "depthwise": images(lambda net, y: net.b(y), {"a": 8}, b=lambda: conv(8, 8, groups=8)),
    "depthwise multiplied": images(
        lambda net, y: net.b(y), {"a": 8}, b=lambda: conv(8, 16, groups=8), out=lambda: head(16)
    ),
    "depthwise on the input": Case(
        lambda: nn.Sequential(conv(3, 3, groups=3), conv(3, 8), nn.Flatten(), nn.Linear(512, 5)), IMAGE,
        {"0": "as many channels as its input", "1": 8, "3": OUT},
    ),
    "transposed": images(
        lambda net, y: net.b(y), {"a": 8, "b": 6}, b=lambda: nn.ConvTranspose2d(8, 6, 2, 2), out=lambda: head(6)
    ),
    "along time": Case(
        lambda: nn.Sequential(nn.Conv1d(5, 8, 3), nn.ReLU(), nn.Conv1d(8, 4, 3)), TOKENS, {"0": 8, "2": OUT}
    ),
    # norms
    "batch norm": images(lambda net, y: net.norm(y), {"a": 8}, norm=lambda: nn.BatchNorm2d(8)),
    "batch norm alone": images(
        lambda net, y: net.norm(y), {"a": "does not leave zero"}, norm=lambda: nn.BatchNorm2d(8, affine=False)
    ),
    "layer norm": tokens(lambda net, y: net.norm(y), {"a": 8}, norm=lambda: nn.LayerNorm(8)),
    "layer norm of all": Case(
        lambda: nn.Sequential(conv(3, 8), nn.LayerNorm([8, 8, 8]), nn.Flatten(), nn.Linear(512, 5)), IMAGE,
        {"0": 8, "3": OUT},
    ),
    "root mean square norm": tokens(lambda net, y: net.norm(y), {"a": 8}, norm=lambda: nn.RMSNorm(8)),
    "group norm": images(lambda net, y: net.norm(y), {"a": 4}, norm=lambda: nn.GroupNorm(2, 8)),
    "group norm of single channels": images(lambda net, y: net.norm(y), {"a": 8}, norm=lambda: nn.GroupNorm(8, 8)),
    "instance norm": images(
        lambda net, y: net.norm(y), {"a": 8}, norm=lambda: nn.InstanceNorm2d(8, affine=True, track_running_stats=True)
    ),
    "own norm": tokens(lambda net, y: y - y.mean(-1, keepdim=True), {"a": "over the channels"}),
    "unit vectors": tokens(lambda net, y: functional.normalize(y, dim=-1), {"a": 8}),
    # movements
    "flatten": Case(
        lambda: nn.Sequential(conv(3, 8), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 5)), IMAGE, {"0": 8, "3": OUT}
    ),
    "gate": tokens(lambda net, y: torch.mul(*y.chunk(2, -1)), {"a": 8}, width=16, into=8),
    "gated linear unit": tokens(lambda net, y: functional.glu(y), {"a": 8}, width=16, into=8),
    "unequal pieces": tokens(
        lambda net, y: y.split([10, 6], -1)[0], {"a": "unequal pieces"}, width=16, into=10
    ),
    "half by number": tokens(lambda net, y: y[..., :8] * y[..., 8:], {"a": "by their number"}, width=16, into=8),
    "flip": images(lambda net, y: y.flip(1), {"a": 8}),
    "roll": images(lambda net, y: y.roll(1, 1), {"a": "others' places"}),
    "roll over space": images(lambda net, y: y.roll(1, 2), {"a": 8}),
    "shuffle": images(lambda net, y: functional.channel_shuffle(y, 2), {"a": 4}),
    "pixel shuffle": images(lambda net, y: functional.pixel_shuffle(y, 2), {"a": 2}, out=lambda: head(2)),
    "pixel unshuffle": images(lambda net, y: functional.pixel_unshuffle(y, 2), {"a": 8}, out=lambda: head(32)),
    "interpolation": images(lambda net, y: functional.interpolate(y, scale_factor=2, mode="bilinear"), {"a": 8}),
    "a width written down": Case(
        lambda: Net(lambda net, x: net.out(net.a(x).view(2, 512)), a=conv(3, 8), out=head(512)), IMAGE,
        {"a": "own code", "out": OUT},
    ),
    "in place on a part": images(lambda net, y: write_over(y), {"a": "by their number"}),
    "copied in place": tokens(lambda net, y: shifted_in_time(y), {"a": "writes over"}),
    "in place seen by others": images(lambda net, y: torch.relu_(y) + y, {"a": 8}),
    # bare parameters, embeddings, products
    "layer scale": images(lambda net, y: y + net.scale * net.b(y), {"a": 8}, b=lambda: conv(8, 8),
                          scale=lambda: bare(8, 1, 1)),
    "position": images(lambda net, y: y + net.position, {"a": 8}, position=lambda: bare(1, 8, 8, 8)),
    "class token": tokens(
        lambda net, y: torch.cat([net.token.expand(len(y), -1, -1), y], 1), {"a": 8}, token=lambda: bare(1, 1, 8)
    ),
    "fixed position": tokens(
        lambda net, y: y + net.position, {"a": "buffer position does not leave zero"},
        position=lambda: nn.Buffer(torch.zeros(5, 8)),
    ),
    "bare weights": Case(
        lambda: Net(lambda net, x: torch.relu(x @ net.v + net.b) @ net.w, v=bare(12, 8), b=bare(8), w=bare(8, 5)),
        TOKENS, {"v": 8, "w": OUT},
    ),
    "turned weight": Case(
        lambda: Net(lambda net, x: functional.linear(x, net.v.t()) @ net.w, v=bare(12, 8), w=bare(8, 5)), TOKENS,
        {"v": 8, "w": OUT},
    ),
    "masked weight": Case(
        lambda: Net(
            lambda net, x: net.out(functional.linear(x, net.a.weight * net.mask)), a=nn.Linear(12, 8),
            mask=nn.Buffer(torch.ones(8, 12)), out=head(8),
        ),
        TOKENS, {"a": 8, "out": OUT},
    ),
    "quantized channel by channel": Case(
        lambda: Net(
            lambda net, x: net.out(functional.linear(x, rounded(net.a.weight, net.step.abs() / 20), net.a.bias)),
            a=nn.Linear(12, 8), step=nn.Parameter(torch.ones(8, 1)), out=head(8),
        ),
        TOKENS, {"a": 8, "out": OUT},
    ),
    "sum of two weights": Case(
        lambda: Net(
            lambda net, x: net.out(functional.linear(x, net.a.weight + net.more)), a=nn.Linear(12, 8, bias=False),
            more=bare(8, 12), out=head(8),
        ),
        TOKENS, {"a": 8, "out": OUT},
    ),
    "a weight used elsewhere": Case(
        lambda: Net(lambda net, x: net.out(net.a(x)) + net.a.weight.mean(), a=nn.Linear(12, 8), out=head(8)), TOKENS,
        {"a": "summarises the parameter", "out": OUT},
    ),
    "scaled by its largest weight": Case(
        lambda: Net(
            lambda net, x: net.out(functional.linear(x, rounded(net.a.weight, net.a.weight.abs().max() / 7))),
            a=nn.Linear(12, 8), out=head(8),
        ),
        TOKENS, {"a": "summarises the parameter", "out": OUT},
    ),
    "weight of two factors": Case(
        lambda: Net(
            lambda net, x: net.out(functional.linear(x, net.a.weight + net.up @ net.down)), a=nn.Linear(12, 8),
            up=bare(8, 2), down=bare(2, 12), out=head(8),
        ),
        TOKENS, {"a": "joins a parameter", "out": OUT},
    ),
    "standardised weight": Case(
        lambda: Net(lambda net, x: net.out(net.a(x).mean((2, 3))), a=StandardisedConv(3, 8, 3, padding=1), out=head(8)),
        IMAGE, {"a": "joins a parameter", "out": OUT},
    ),
    "normed weight": Case(
        lambda: Net(
            lambda net, x: net.out(net.a(x).mean((2, 3))), a=nn.utils.parametrizations.weight_norm(conv(3, 8)),
            out=head(8),
        ),
        IMAGE, {"a": "_weight_norm", "out": OUT},
    ),
    # attention
    "attention": tokens(
        attended(None), {"a": 4, "mix": 9}, width=36, mix=lambda: nn.Linear(12, 9), out=lambda: head(9)
    ),
    "attention of queries to themselves": tokens(
        lambda net, y: functional.scaled_dot_product_attention(net.b(y), net.b(y), net.v(y)),
        {"a": 8, "b": "used elsewhere", "v": 8}, b=lambda: nn.Linear(8, 6), v=lambda: nn.Linear(8, 8),
    ),
    "attention whose keys are its queries": tokens(
        lambda net, y: functional.scaled_dot_product_attention(*[net.b(y)] * 2, y),
        {"a": 8, "b": "used elsewhere"}, b=lambda: nn.Linear(8, 6),
    ),
    "attention of normed queries": tokens(
        lambda net, y: functional.scaled_dot_product_attention(net.norm(net.b(y)), net.k(y), y),
        {"a": 8, "b": "width of a head"}, b=lambda: nn.Linear(8, 6), norm=lambda: nn.LayerNorm(6),
        k=lambda: nn.Linear(8, 6),
    ),
    "attention of quantized queries": tokens(
        lambda net, y: functional.scaled_dot_product_attention(
            functional.linear(y, rounded(net.b, net.step.abs() / 20)), net.k(y), y
        ),
        {"a": 8, "b": "quantized weight"}, b=lambda: bare(6, 8), step=bare, k=lambda: nn.Linear(8, 6),
    ),
    "attention of fixed scale": tokens(
        attended(lambda query: 0.5), {"a": 4, "mix": 9}, width=36, mix=lambda: nn.Linear(12, 9), out=lambda: head(9)
    ),
    "attention by einsum": tokens(
        attended("einsum"), {"a": 4, "mix": 9}, width=36, mix=lambda: nn.Linear(12, 9), out=lambda: head(9)
    ),
    "attention scaled by its width": tokens(
        attended(lambda query: query.shape[-1] ** -0.5), {"a": "own code", "mix": 9}, width=36,
        mix=lambda: nn.Linear(12, 9), out=lambda: head(9),
    ),
    "multi-head attention": tokens(
        lambda net, y: net.b(y, y, y)[0], {"a": 4, "b.out_proj": 8},
        b=lambda: nn.MultiheadAttention(8, 2, batch_first=True),
    ),
    "multi-head attention, other widths": tokens(
        lambda net, y: net.b(y, net.c(y), net.c(y), need_weights=False)[0], {"a": 4, "c": 6, "b.out_proj": 8},
        c=lambda: nn.Linear(8, 6), b=lambda: nn.MultiheadAttention(8, 2, kdim=6, vdim=6, batch_first=True),
    ),
    "encoder layer": tokens(
        lambda net, y: net.b(y), {"a": 4, "b.linear1": 16},
        b=lambda: nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)
    ),
    "mixed positions": tokens(
        mixed_positions, {"a": "does not leave zero", "t1": "across other", "t2": "across other"},
        t1=lambda: nn.Linear(5, 7), t2=lambda: nn.Linear(7, 5),
    ),
    # where zero stays zero
    "sigmoid": images(lambda net, y: torch.sigmoid(y), {"a": "sigmoid does not leave zero"}),
    "one more": tokens(lambda net, y: y + 1, {"a": "add does not leave zero"}),
    "hard swish by hand": tokens(lambda net, y: y * functional.relu6(y + 3) / 6, {"a": 8}),
    "parametric": images(lambda net, y: net.act(y), {"a": 8}, act=lambda: nn.PReLU(8)),
    "maximum over channels": images(
        lambda net, y: y.amax(1, keepdim=True), {"a": "over the channels"}, out=lambda: head(1)
    ),
    "sum over channels": images(lambda net, y: y.sum(1, keepdim=True), {"a": 8}, out=lambda: head(1)),
    "softmax over channels": tokens(lambda net, y: y.softmax(-1), {"a": "across the channels"}),
    # unknown operations, shared layers, several outputs
    "sorted": tokens(lambda net, y: y.sort(-1)[0], {"a": "sort is not known"}),
    "recurrent": tokens(
        lambda net, y: net.b(y)[0], {"a": "lstm in b is not known", "b": "lstm in b is not known"}, into=6,
        b=lambda: nn.LSTM(8, 6, batch_first=True),
    ),
    "a layer used twice": tokens(lambda net, y: net.b(torch.relu(net.b(y))), {"a": 8}, b=lambda: nn.Linear(8, 8)),
    "two branches of one layer": Case(
        lambda: Net(
            lambda net, x: net.out(torch.cat([net.a(x), torch.relu(net.a(-x))], -1)), a=nn.Linear(12, 8), out=head(16)
        ),
        TOKENS, {"a": 8, "out": OUT},
    ),
    "named outputs": Case(
        lambda: Net(lambda net, x: {"y": net.out(net.a(x)), "z": net.b(x)}, a=nn.Linear(12, 8), b=nn.Linear(12, 4),
                    out=head(8)),
        TOKENS, {"a": 8, "out": OUT, "b": OUT},
    ),
}  # fmt: skip


@pytest.fixture(params=CASES, scope="module")
def case(request, draw_parameters):
    chosen = CASES[request.param]
    module, x = draw_parameters(chosen.build()), sample(chosen.shape)
    return module, x, chosen.found, groups(module, x)


def test_groups_are_as_expected(case):
    _, _, expected, found = case
    assert [group.name for group in found.groups] == list(expected)
    for group in found.groups:
        wanted = expected[group.name]
        if isinstance(wanted, int):
            assert (group.units, group.because) == (wanted, "")
        else:
            assert not group.prunable and wanted in group.because


def test_cut_equals_zero(case):
    module, x, _, found = case
    units = {place: found.groups[place].units for place in found.prunable}
    rng = np.random.default_rng(0)
    removed = {place: rng.choice(count, max(1, count // 2), replace=False) for place, count in units.items()}
    zeroed = found.masked(module, removed)
    smaller = removal.remove(module, found.recipe(removed))
    with torch.no_grad():
        wanted, got = zeroed(x), smaller(x)
    for one, other in zip(*((y.values() if isinstance(y, dict) else [y]) for y in (got, wanted)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    sizes = [sum(p.numel() for p in net.parameters()) for net in (module, smaller)]
    assert sizes[1] < sizes[0] if removed else sizes[1] == sizes[0]


def test_zeroing_changes_the_output(case):
    # otherwise a network that is zero throughout would pass the comparison with the cut one
    module, x, _, found = case
    for place in found.prunable:
        zeroed = found.masked(module, {place: [0]})
        with torch.no_grad():
            pairs = zip(*(y.values() if isinstance(y, dict) else [y] for y in (module(x), zeroed(x))), strict=True)
            assert any(not torch.equal(one, other) for one, other in pairs)
