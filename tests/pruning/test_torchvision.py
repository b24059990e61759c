"""Groups of torchvision's architectures: against Torch-Pruning's, and by zeroing and cutting."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from sdqviz.pruning import removal
from sdqviz.pruning.dependency import groups

models = pytest.importorskip("torchvision.models")

QUICK = ["mobilenet_v3_small", "resnet18", "squeezenet1_1", "vit"]
"""Compared every day; the others are slow."""

SLOW = [
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "mnasnet0_5",
    "mobilenet_v2", "regnet_x_400mf", "regnet_y_400mf", "resnet50", "resnext50_32x4d", "vgg11_bn",
]  # fmt: skip

TIED = {"regnet_x_400mf", "regnet_y_400mf", "resnext50_32x4d", "vit"}
"""Where several channels make one unit: grouped convolutions keep groups of one size, attention heads of one width."""

CUT_ONLY = ["shufflenet_v2_x0_5", pytest.param("swin_t", marks=pytest.mark.slow)]
"""Networks whose groups are zeroed and cut but not compared: Torch-Pruning ties what they shuffle in another way."""

slow = [pytest.param(name, marks=pytest.mark.slow) for name in SLOW]


def side(name):
    return {"alexnet": 96, "inception_v3": 96, "vit": 32}.get(name, 64)


def built(name, draw_parameters):
    """Return an architecture with random weights and statistics."""
    with torch.random.fork_rng():
        if name == "vit":
            module = models.VisionTransformer(32, 8, num_layers=2, num_heads=4, hidden_dim=32, mlp_dim=64)
        else:
            options = {"aux_logits": False, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
            module = models.get_model(name, weights=None, **options)
    return draw_parameters(module)


def images(name, count, seed=0):
    return torch.randn((count, 3, side(name), side(name)), generator=torch.Generator().manual_seed(seed))


def peer_groups(module, x):
    """Return Torch-Pruning's groups as sets of (layer, side)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch_pruning as tp

        peer = tp.DependencyGraph().build_dependency(module, example_inputs=x)
        found = list(peer.get_all_groups(root_module_types=[nn.Conv2d, nn.Linear]))
    names = {id(part): name for name, part in [*module.named_modules(), *module.named_parameters()]}
    groups = set()
    for group in found:
        members = set()
        for item in group:
            part = item.dep.target.module
            if id(part) not in names:  # an operation without parameters
                continue
            # norms and bare parameters have but one side
            passing = isinstance(part, nn.modules.batchnorm._NormBase | nn.LayerNorm | nn.Parameter)
            out = passing or peer.is_out_channel_pruning_fn(item.dep.handler)
            members.add((names[id(part)], "out" if out else "in"))
        groups.add(frozenset(members))
    return groups


def own_groups(module, found):
    """Return our groups as sets of (layer, side), attention as the one layer that it is for Torch-Pruning."""
    parts = dict(module.named_modules())
    attention = [name for name, part in parts.items() if isinstance(part, nn.MultiheadAttention)]
    groups = set()
    for group in found.groups:
        members = set()
        for one in group.dependencies:
            inside = next((name for name in attention if one.parameter.startswith(f"{name}.")), None)
            ordinary = any(getattr(parts[one.layer], key, None) is not None for key in ("weight", "running_mean"))
            if inside is not None:
                members.add((inside, "out"))
            else:
                members.add((one.layer if ordinary else one.parameter, "in" if one.role == "consumes" else "out"))
        groups.add(frozenset(members))
    return groups


@pytest.mark.parametrize("name", [*QUICK, *slow])
def test_groups_equal_those_of_torch_pruning(name, draw_parameters):
    pytest.importorskip("torch_pruning")
    module = built(name, draw_parameters)
    found = groups(module, images(name, 1))
    assert own_groups(module, found) == peer_groups(module, images(name, 1))
    assert [group.because for group in found.groups if not group.prunable] == [
        "the channels reach the output of the network"
    ]
    if name not in TIED:
        widths = {group.name: len(module.get_parameter(f"{group.name}.weight")) for group in found.groups}
        assert {group.name: group.units for group in found.groups} == widths


@pytest.mark.parametrize("name", [*QUICK, *CUT_ONLY, *slow])
def test_zero_equals_cut(name, draw_parameters):
    module = built(name, draw_parameters)
    found = groups(module, images(name, 1))
    rng = np.random.default_rng(1)
    places = found.require_prunable()
    chosen = rng.choice(places, max(1, (2 * len(places)) // 3), replace=False)
    removed = {
        int(place): rng.choice(found.groups[place].units, rng.integers(1, found.groups[place].units), replace=False)
        for place in chosen
    }
    smaller = removal.remove(module, found.recipe(removed))
    x = images(name, 2, seed=1)
    with torch.no_grad():
        before, wanted, got = module(x), found.masked(module, removed)(x), smaller(x)
    assert (wanted - before).abs().max() > 1e-3  # zeroing is felt
    assert (got - wanted).abs().max() <= 1e-4
    assert sum(p.numel() for p in smaller.parameters()) < sum(p.numel() for p in module.parameters())
