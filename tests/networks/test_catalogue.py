"""Our own convolutional and attention networks: what they compute, their images, and how methods treat them."""

import copy
import dataclasses
import hashlib
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.datasets import CIFAR10

import sdqviz as sq
from sdqviz.compression.measurement import measure
from sdqviz.compression.question import Question
from sdqviz.explore import what_if
from sdqviz.methods.calibrated.calibration import Calibration
from sdqviz.networks import dataset, training
from sdqviz.networks.blocks.basic_block import BasicBlock
from sdqviz.networks.blocks.vision_transformer import Attention

NAMES = ["resnet20", "vgg7", "vit-tiny"]


def images(count, channels=1, size=28, seed=0):
    return torch.rand((count, channels, size, size), generator=torch.Generator().manual_seed(seed))


def randomised(module, seed=0):
    """Give every parameter and statistic a value of its own, so that nothing hides behind a one or a zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.copy_(0.1 * torch.randn(part.running_mean.shape, generator=generator))
                part.running_var.copy_(0.5 + torch.rand(part.running_var.shape, generator=generator))
    return module.eval()


# -- what they are -----------------------------------------------------------------------------------


COUNTED = {  # compressible layers, and parameters: convolutions, then normalisations, then what is left
    "resnet20": (
        22,
        9 * (8 + 6 * 8 * 8 + 8 * 16 + 5 * 16 * 16 + 16 * 32 + 5 * 32 * 32) + 8 * 16 + 16 * 32
        + 2 * (7 * 8 + 7 * 16 + 7 * 32)
        + 33 * 10,
    ),
    "vgg7": (
        8,
        9 * (16 + 16 * 16 + 16 * 32 + 32 * 32 + 32 * 64 + 64 * 64) + 2 * 2 * (16 + 32 + 64)
        + (3 * 3 * 64 + 1) * 128 + 129 * 10,
    ),
    "vit-tiny": (
        26,
        50 * 48 + 4 * (2 * 2 * 48 + 4 * 49 * 48 + 49 * 96 + 97 * 48) + 2 * 48 + 48 + 17 * 48 + 49 * 10,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_layers_and_parameters(name):
    network = sq.NETWORKS[name]().load()
    assert (len(network.layers), network.parameter_count) == COUNTED[name]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("values", [{}, {"images": "cifar10"}])
def test_shapes_for_both_kinds_of_images(name, values):
    choice = sq.NETWORKS[name](seed=3, **values)
    module = choice.build().eval()
    with torch.no_grad():
        scores = module(images(2, choice.channels, choice.size))
    assert scores.shape == (2, 10) and scores.isfinite().all()
    again = choice.build().state_dict()
    assert all(torch.equal(again[key], value) for key, value in module.state_dict().items())


def test_the_width_of_the_residual_network_is_a_choice():
    narrow, wide = (sq.NETWORKS["resnet20"](width=width).build() for width in (4, 16))
    assert narrow.output.in_features == 16 and wide.output.in_features == 64
    for width in (3, 17):
        with pytest.raises(sq.InputError, match="width must be at"):
            sq.NETWORKS["resnet20"](width=width)


def by_hand(x, weight, stride=1):
    """Convolve, kernel 3 or 1, one output at a time."""
    pad = weight.shape[-1] // 2
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    height = (x.shape[1] - weight.shape[2]) // stride + 1
    out = np.empty((len(weight), height, height))
    for row in range(height):
        for column in range(height):
            top, left = row * stride, column * stride
            out[:, row, column] = np.tensordot(
                weight, x[:, top : top + weight.shape[2], left : left + weight.shape[3]], axes=3
            )
    return out


def normalised(x, norm):
    mean, variance = norm.running_mean.numpy(), norm.running_var.numpy()
    scale = norm.weight.detach().numpy() / np.sqrt(variance + norm.eps)
    return (x - mean[:, None, None]) * scale[:, None, None] + norm.bias.detach().numpy()[:, None, None]


@pytest.mark.parametrize(("inputs", "outputs", "stride"), [(3, 3, 1), (3, 5, 2)])
def test_the_basic_block_is_the_sum_written_out(inputs, outputs, stride):
    block = randomised(BasicBlock(inputs, outputs, stride).double())
    x = images(1, inputs, 6).double()
    weight = {name: value.detach().numpy() for name, value in block.named_parameters()}
    inner = np.maximum(normalised(by_hand(x[0].numpy(), weight["conv1.weight"], stride), block.norm1), 0)
    inner = normalised(by_hand(inner, weight["conv2.weight"]), block.norm2)
    beside = x[0].numpy()
    if stride > 1:
        beside = normalised(by_hand(beside, weight["shortcut.0.weight"], stride), block.shortcut[1])
    else:
        assert isinstance(block.shortcut, nn.Identity)
    with torch.no_grad():
        found = block(x)[0].numpy()
    np.testing.assert_allclose(found, np.maximum(beside + inner, 0), rtol=0, atol=1e-12)


def test_attention_equals_torchs_own():
    own, theirs = randomised(Attention(12, 3)), nn.MultiheadAttention(12, 3, batch_first=True).eval()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([own.query.weight, own.key.weight, own.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([own.query.bias, own.key.bias, own.value.bias]))
        theirs.out_proj.load_state_dict(own.output.state_dict())
        x = torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(4))
        np.testing.assert_allclose(own(x), theirs(x, x, x)[0], rtol=1e-4, atol=1e-6)


def test_a_head_with_dimensions_removed_computes_what_zeros_there_compute():
    whole = randomised(Attention(12, 3))
    zeroed, cut = copy.deepcopy(whole), copy.deepcopy(whole)
    gone = torch.tensor([head * 4 + 2 for head in range(3)])
    kept = torch.tensor([place for place in range(12) if place not in gone])
    with torch.no_grad():
        for name in ("query", "key", "value"):
            layer, smaller = getattr(zeroed, name), getattr(cut, name)
            layer.weight[gone], layer.bias[gone] = 0, 0
            smaller.weight, smaller.bias = nn.Parameter(layer.weight[kept]), nn.Parameter(layer.bias[kept])
        cut.output.weight = nn.Parameter(cut.output.weight[:, kept])
        x = torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(5))
        np.testing.assert_allclose(cut(x), zeroed(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "because"),
    [
        ("resnet20", "layer conv is a convolution; the theorems speak of dense layers"),
        ("vgg7", "layer conv1 is a convolution; the theorems speak of dense layers"),
        (
            "vit-tiny",
            "the network (VisionTransformer) has a forward of its own; the theorems speak of chains of known layers",
        ),
    ],
)
def test_the_theorems_say_why_they_do_not_apply(name, because):
    loaded = sq.NETWORKS[name]().load()
    network = sq.Network(loaded.module, loaded.example_input)  # without its test images
    assert not network.structure.applicable and network.structure.because == because
    report = sq.compress(network, sq.METHODS["round-to-nearest"](bits=8), images(4).numpy()).report
    assert not report.output_bound_holds and because in report.output_bound_because


# -- methods -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def transformer():
    """The trained transformer without its test images."""
    loaded = sq.NETWORKS["vit-tiny"]().load()
    return sq.Network(loaded.module, loaded.example_input), loaded.dataset.calibration(48, 0)


def test_moments_of_a_dense_layer_on_tokens_are_sums_over_all_tokens(transformer):
    network, inputs = transformer
    seen = []
    name = "blocks.1.attention.key"
    module = network.shadow("float64")
    module.get_submodule(name).register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        module(torch.from_numpy(inputs).double())
    rows = seen[0].reshape(-1, 48).numpy()
    assert len(rows) == 48 * 17
    layer = next(layer for layer in network.layers if layer.name == name)
    with Calibration(network, inputs) as calibration:
        moments = calibration.moments(layer)
    (only,) = moments.groups
    expected = rows.T @ rows
    np.testing.assert_allclose(only.plain().inputs, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("method", ["gpfq", "frame"])
def test_methods_compress_every_layer_of_the_transformer(method, transformer):
    network, inputs = transformer
    chosen = sq.METHODS[method](**({"bits": 4, "fit": "max"} if method == "gpfq" else {"redundancy": 2.0, "bits": 4}))
    result = sq.compress(network, chosen, inputs)
    assert [row.name for row in result.report.layers] == [layer.name for layer in network.layers]
    assert all(0 < row.relative_error < 0.5 for row in result.report.layers)
    again = measure(network, result.network, network.layers, inputs)
    assert again.layers["output"].propagated == pytest.approx(result.report.layers[-1].propagated_error)


def test_path_following_beats_rounding_on_the_transformer(transformer):
    network, inputs = transformer
    errors = {
        name: sq.compress(network, sq.METHODS[name](**values), inputs).report.relative_output_error
        for name, values in {"gpfq": {"bits": 3}, "round-to-nearest": {"bits": 3, "fit": "mse"}}.items()
    }
    assert errors["gpfq"] < errors["round-to-nearest"]


# -- images and files --------------------------------------------------------------------------------


def test_other_choices_have_files_of_their_own_and_are_not_shipped(tmp_path, monkeypatch):
    monkeypatch.setenv("SDQVIZ_CACHE", str(tmp_path))
    resnet = sq.NETWORKS["resnet20"]
    assert training.file_name(resnet()) == "resnet20-seed0.safetensors"
    assert training.file_name(resnet(seed=4, width=16, images="cifar10")) == (
        "resnet20-seed4-images=cifar10-width=16.safetensors"
    )
    assert resnet().shipped and resnet().ready
    for other in (resnet(seed=1), resnet(width=9), resnet(images="cifar10")):
        assert not other.shipped and not other.ready
    assert sq.NETWORKS["vit-tiny"](seed=2).shipped
    assert what_if.estimated_seconds(Question(resnet(width=9), sq.METHODS["round-to-nearest"]())) > 100
    assert resnet(width=9) == sq.NETWORKS.from_dict(resnet(width=9).to_dict())


def test_a_network_knows_the_choice_that_built_it():
    choice = sq.NETWORKS["resnet20"](width=5, seed=7)
    network = choice.wrap(choice.build())
    assert sq.NETWORKS.from_dict(network.choice) == choice
    assert network.replaced({"output": np.zeros((10, 20))}).choice == network.choice
    assert sq.Network(nn.Linear(2, 2), torch.ones(1, 2)).choice == {}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """CIFAR-10 in torchvision's own format, 12 images long, and SDQVIZ_DATA naming it."""
    generator = np.random.default_rng(3)
    base = tmp_path / CIFAR10.base_folder
    base.mkdir()

    def written(name, content):
        (base / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((base / name).read_bytes(), usedforsecurity=False).hexdigest()]

    def batch():
        return {"data": generator.integers(0, 256, (2, 3072), dtype=np.uint8), "labels": [3, 9]}

    meta = written("batches.meta", {"label_names": [f"class {k}" for k in range(10)]})
    monkeypatch.setattr(CIFAR10, "train_list", [written(f"data_batch_{k}", batch()) for k in range(1, 6)])
    monkeypatch.setattr(CIFAR10, "test_list", [written("test_batch", batch())])
    monkeypatch.setattr(CIFAR10, "meta", {"filename": meta[0], "key": "label_names", "md5": meta[1]})
    monkeypatch.setenv("SDQVIZ_DATA", str(tmp_path))
    dataset.cifar10.cache_clear()
    yield base
    dataset.cifar10.cache_clear()


def test_cifar_is_read_as_torchvision_stores_it(folder):
    data = sq.NETWORKS["vgg7"](images="cifar10").data()
    assert (data.name, data.calibration_size, data.test_size) == ("CIFAR-10", 10, 2)
    raw = pickle.loads((folder / "test_batch").read_bytes())["data"]
    # a row holds the red, then the green, then the blue values, each image row after row
    np.testing.assert_array_equal(np.round(data.test_inputs * 255).reshape(2, -1), raw)
    assert data.test_labels.tolist() == [3, 9]
    choice = sq.NETWORKS["vgg7"](images="cifar10")
    assert 0 <= choice.wrap(choice.build()).accuracy() <= 1


def test_cifar_is_learned_for_more_epochs_and_kept_in_the_cache(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("SDQVIZ_CACHE", str(tmp_path / "cache"))
    vit = sq.NETWORKS["vit-tiny"]
    monkeypatch.setattr(vit, "recipe", dataclasses.replace(vit.recipe, batch=5))
    choice = vit(images="cifar10")
    assert (choice.own_recipe.epochs, vit().own_recipe.epochs) == (15, 6)
    assert choice.estimated_training_seconds == 2.5 * vit().estimated_training_seconds
    seen = []
    network = choice.load(progress=lambda *told: seen.append(told))
    assert seen[-1][:2] == (30, 30)  # 15 epochs of 2 steps
    assert choice.ready and choice.load(should_stop=lambda: True).fingerprint == network.fingerprint
    assert network.dataset.name == "CIFAR-10"


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_cifar_that_is_not_there_is_asked_for(folder, damage, tmp_path, monkeypatch):
    if damage == "missing":
        monkeypatch.setenv("SDQVIZ_DATA", str(tmp_path / "elsewhere"))
    else:
        (folder / "data_batch_3").write_bytes(b"something else")
    with pytest.raises(sq.InputError, match=r"^CIFAR-10 must be whole in .*, got .*download and unpack https?://"):
        sq.NETWORKS["resnet20"](images="cifar10").load()
    assert what_if.outline(sq.NETWORKS["resnet20"](images="cifar10"))[0].shape == (8, 3, 3, 3)
