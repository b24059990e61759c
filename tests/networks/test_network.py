"""Networks: any module can be wrapped, is never changed, and is replaced layer by layer."""

import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz import asset
from sdqviz.networks.batch import batches
from sdqviz.networks.dataset import Dataset
from sdqviz.networks.training import read_record

LEAST_ACCURACY = {
    "mnist-fnn": 0.975, "mnist-residual": 0.975, "mnist-lenet": 0.985,
    "resnet20": 0.985, "vgg7": 0.985, "vit-tiny": 0.97,
}  # fmt: skip
SLOW = {"resnet20", "vgg7"}
SHIPPED = [(name, seed) for name in sorted(LEAST_ACCURACY) for seed in sq.NETWORKS[name].shipped_seeds]


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


class TwoInputs(nn.Module):
    """Takes two tensors by position or by name; answers with a mapping."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Linear(3, 5)
        self.right = nn.Linear(4, 5)

    def forward(self, first, second):
        return {"extra": first, "logits": self.left(first) + self.right(second)}


class Tokens(nn.Module):
    """An embedding, whose weight the output shares, with whole numbers as input."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 6)
        self.mix = nn.Linear(6, 6)
        self.norm = nn.LayerNorm(6)
        self.output = nn.Linear(6, 10, bias=False)
        self.output.weight = self.embedding.weight

    def forward(self, tokens):
        return (self.output(self.norm(self.mix(self.embedding(tokens)).mean(1))),)


# -- the catalogue -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "seed"),
    [pytest.param(*one, marks=[pytest.mark.slow] if one[0] in SLOW or one[1] else []) for one in SHIPPED],
)
def test_shipped_networks_are_accurate(name, seed):
    network = sq.NETWORKS[name](seed=seed).load()
    assert (network.name, network.seed) == (name, seed)
    assert network.accuracy() >= LEAST_ACCURACY[name]
    stored = read_record(asset.path(f"networks/{name}-seed{seed}.safetensors"))["accuracy"]
    assert abs(network.accuracy() - stored) <= 3e-4  # another machine's rounding may turn a close call


@pytest.mark.parametrize("name", sorted(SLOW))
def test_slow_networks_classify_the_first_images(name):
    assert sq.NETWORKS[name]().load().accuracy(500) >= LEAST_ACCURACY[name] - 0.01


def test_catalogue_is_complete():
    assert sorted(sq.NETWORKS) == sorted(LEAST_ACCURACY)
    assert {name for name, _ in SHIPPED} == set(LEAST_ACCURACY)


def test_layers_of_the_catalogue():
    shapes = {
        name: [(layer.name, layer.kind, layer.weight.shape, layer.bias is not None) for layer in network.layers]
        for name in LEAST_ACCURACY
        for network in [sq.NETWORKS[name]().load()]
    }
    assert shapes["mnist-fnn"] == [
        ("hidden1", "Linear", (256, 784), False),
        ("hidden2", "Linear", (256, 256), False),
        ("output", "Linear", (10, 256), False),
    ]
    assert [row[0] for row in shapes["mnist-residual"]] == [
        "input", "block1.inner", "block1.outer", "block2.inner", "block2.outer", "output",
    ]  # fmt: skip
    assert {row[3] for row in shapes["mnist-residual"]} == {False}
    assert shapes["mnist-lenet"] == [
        ("conv1", "Conv2d", (6, 1, 5, 5), True),
        ("conv2", "Conv2d", (16, 6, 5, 5), True),
        ("hidden", "Linear", (120, 400), True),
        ("output", "Linear", (10, 120), True),
    ]


def test_residual_network_computes_the_stated_formula():
    network = sq.NETWORKS["mnist-residual"](seed=1).load()
    weight = {layer.name: layer.weight for layer in network.layers}
    x = network.dataset.test(20)[0].reshape(20, -1).astype(float).T
    x = np.maximum(weight["input"] @ x, 0)
    for block in ("block1", "block2"):
        x = x + weight[f"{block}.outer"] @ np.maximum(weight[f"{block}.inner"] @ x, 0)
    expected = (weight["output"] @ x).T
    assert np.allclose(network.outputs(network.dataset.test(20)[0], "float64"), expected, rtol=0, atol=1e-11)


def test_listing_networks_imports_no_torch():
    code = (
        "import sys, sdqviz as sq; from sdqviz.networks import dataset, structure; sorted(sq.NETWORKS);"
        "sq.NETWORKS['mnist-fnn'](); dataset.mnist(); structure.DenseNode('a', 1.0); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("seed", [-1, 10_000, 0.5, None])
def test_bad_seed_is_refused(seed):
    with pytest.raises(sq.InputError, match="seed must be"):
        sq.NETWORKS["mnist-fnn"](seed=seed)


# -- wrapping --------------------------------------------------------------------------------------


def test_the_given_module_is_neither_changed_nor_shared():
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2)).train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    network = sq.Network(module, random(3, 4))
    network.outputs(random(8, 4))
    network.replaced({"0": np.zeros((4, 4))})
    assert module.training
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    expected = network.outputs(random(8, 4))
    with torch.no_grad():
        module[0].weight.zero_()
    assert np.array_equal(network.outputs(random(8, 4)), expected)
    assert not network.module.training


@pytest.mark.parametrize("kind", ["tuple", "dict"])
def test_tuple_and_dict_inputs(kind):
    first, second = random(7, 3), random(7, 4, seed=1)
    example = (first[:1], second[:1]) if kind == "tuple" else {"first": first[:1], "second": second[:1]}
    inputs = (first, second.numpy()) if kind == "tuple" else {"first": first.numpy(), "second": second}
    module = TwoInputs()
    network = sq.Network(module, example)
    assert [layer.name for layer in network.layers] == ["left", "right"]
    expected = module(first, second)["logits"].detach().numpy()
    assert np.allclose(network.outputs(inputs), expected, rtol=0, atol=1e-6)
    parts = list(batches(inputs, 3))
    assert [len(part[0] if kind == "tuple" else part["first"]) for part in parts] == [3, 3, 1]


def test_whole_numbers_stay_whole_and_embeddings_stay():
    tokens = torch.arange(8).reshape(2, 4)
    network = sq.Network(Tokens(), tokens)
    assert [layer.name for layer in network.layers] == ["mix"]
    changed = network.replaced({"mix": np.zeros((6, 6))})
    for name, tensor in network.module.state_dict().items():
        assert torch.equal(tensor, changed.module.state_dict()[name]) == (name != "mix.weight")
    assert network.outputs(tokens, "float64").shape == (2, 10)


def test_a_bare_layer_gets_a_name():
    network = sq.Network(nn.Linear(3, 2), random(1, 3))
    assert [layer.name for layer in network.layers] == ["layer"]
    assert network.structure.applicable


def test_half_precision_is_measured_in_double():
    module = nn.Sequential(nn.Linear(4, 3)).to(torch.bfloat16)
    network = sq.Network(module, random(2, 4))
    assert network.outputs(random(2, 4)).dtype == np.float32
    exact = random(2, 4).double().numpy() @ network.layers[0].weight.T + network.layers[0].bias
    assert np.allclose(network.outputs(random(2, 4), "float64"), exact, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("module", "example", "message"),
    [
        ("a text", torch.zeros(1), "module must be a torch.nn.Module, got str"),
        (nn.Linear(3, 2), [1.0, 2.0], "example_input must be a tensor, a tuple or a dict of tensors, got float"),
        (nn.Linear(3, 2), torch.zeros(1, 4), "example_input must be accepted by the module, got mat1 and mat2"),
        (nn.Linear(3, 2), (torch.zeros(1, 3),) * 2, "example_input must be accepted by the module, got .*positional"),
    ],
)
def test_unusable_modules_and_examples_are_refused(module, example, message):
    with pytest.raises(sq.InputError, match=message):
        sq.Network(module, example)


def test_a_module_that_answers_with_no_tensor_is_refused():
    class Talks(nn.Module):
        def forward(self, x):
            return "hello"

    with pytest.raises(sq.InputError, match=r"module must return a tensor.*got str"):
        sq.Network(Talks(), torch.zeros(1))


def test_a_network_without_layers_is_refused_when_layers_are_asked():
    network = sq.Network(nn.Sequential(nn.ReLU()), random(1, 3))
    assert np.array_equal(network.outputs(np.float32([[-1, 0, 2]])), [[0, 0, 2]])
    with pytest.raises(sq.InputError, match="network must have at least one Linear, Conv1d or Conv2d layer"):
        _ = network.layers


def test_weights_that_are_not_finite_are_refused_by_layer():
    module = nn.Sequential(nn.Linear(3, 2))
    with torch.no_grad():
        module[0].weight[0, 0] = float("nan")
    with pytest.raises(sq.InputError, match="layer '0' must have a finite weight"):
        _ = sq.Network(module, random(1, 3)).layers


# -- measuring -------------------------------------------------------------------------------------


def test_accuracy_counts_right_answers():
    weight = np.eye(3)
    inputs = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1]]
    data = Dataset("unit vectors", inputs, np.zeros(5, int), inputs, np.array([0, 1, 1, 1, 1]))
    network = sq.Network(nn.Sequential(nn.Linear(3, 3, bias=False)), random(1, 3), data).replaced({"0": weight})
    assert network.predictions().tolist() == [0, 1, 2, 0, 1]
    assert network.accuracy() == 0.6
    assert network.accuracy(2) == 1.0
    assert network.predictions() is network.predictions()
    with pytest.raises(sq.InputError, match="test limit must be from 1 to 5, got 6"):
        network.accuracy(6)


def test_accuracy_needs_data_and_scores():
    network = sq.Network(nn.Sequential(nn.Linear(3, 3)), random(1, 3))
    with pytest.raises(sq.InputError, match="dataset must be given"):
        network.accuracy()
    data = Dataset("x", np.ones((2, 4, 3)), np.zeros(2, int), np.ones((2, 4, 3)), np.zeros(2, int))
    with pytest.raises(sq.InputError, match=r"outputs must have shape \(n, classes\)"):
        sq.Network(nn.Sequential(nn.Linear(3, 3)), random(1, 4, 3), data).accuracy()


def test_outputs_do_not_depend_on_batches_and_can_be_stopped(monkeypatch):
    network = sq.Network(nn.Sequential(nn.Linear(5, 3), nn.Tanh()), random(1, 5))
    inputs = random(23, 5)
    whole = network.outputs(inputs, "float64")
    monkeypatch.setattr("sdqviz.networks.network.TEST_BATCH", 4)
    assert np.allclose(network.outputs(inputs, "float64"), whole, rtol=0, atol=1e-14)
    with pytest.raises(sq.Stopped):
        network.outputs(inputs, should_stop=lambda: True)
    with pytest.raises(sq.InputError, match="inputs must hold at least one sample"):
        network.outputs(inputs[:0])
    with pytest.raises(sq.InputError, match="dtype must be 'float32' or 'float64', got 'half'"):
        network.outputs(inputs, "half")


def test_hooks_on_a_shadow_are_seen_by_nobody_else():
    network = sq.NETWORKS["mnist-fnn"]().load()
    inputs = network.dataset.test(64)[0]
    expected = network.outputs(inputs)
    failures = []

    def disturb() -> None:
        for _ in range(20):
            shadow = network.shadow()
            shadow.get_submodule("hidden1").register_forward_hook(lambda *_: failures.append("seen"))
            if next(shadow.parameters()).data_ptr() != next(network.module.parameters()).data_ptr():
                failures.append("copied")

    thread = threading.Thread(target=disturb)
    thread.start()
    results = [network.outputs(inputs) for _ in range(20)]
    thread.join()
    assert failures == []
    assert all(np.array_equal(result, expected) for result in results)


# -- replacing -------------------------------------------------------------------------------------


def test_replaced_changes_the_named_layers_alone():
    network = sq.Network(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)), random(2, 4))
    before = network.fingerprint
    weight, bias = np.arange(12.0).reshape(3, 4) / 7, np.array([1.0, 2.0, 3.0]) / 3
    changed = network.replaced({"0": weight}, {"0": bias})
    assert network.fingerprint == before
    assert changed.fingerprint != before
    assert np.array_equal(changed.layers[0].weight, weight)  # exactly, though the module holds float32
    assert np.array_equal(changed.module64[0].weight.numpy(), weight)
    assert np.array_equal(changed.module[0].weight.numpy(), weight.astype(np.float32))
    assert np.array_equal(changed.layers[0].bias, bias)
    assert np.array_equal(changed.layers[1].weight, network.layers[1].weight)
    again = changed.replaced({"2": np.zeros((2, 3))})
    assert np.array_equal(again.layers[0].weight, weight)
    assert not again.layers[1].weight.any()
    back = again.replaced({layer.name: layer.weight for layer in network.layers}, {"0": network.layers[0].bias})
    assert back.fingerprint == before


def test_a_shared_weight_changes_wherever_it_is_used():
    first, second = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
    second.weight = first.weight
    network = sq.Network(nn.Sequential(first, second), random(1, 3))
    assert [layer.name for layer in network.layers] == ["0"]
    assert network.parameter_count == 9
    changed = network.replaced({"0": 2 * np.eye(3)})
    assert np.array_equal(changed.outputs(np.ones((1, 3), np.float32)), [[4.0, 4.0, 4.0]])
    assert np.array_equal(changed.outputs(np.ones((1, 3)), "float64"), [[4.0, 4.0, 4.0]])


@pytest.mark.parametrize(
    ("weights", "biases", "message"),
    [
        ({"9": np.zeros((2, 3))}, {}, "layer must be one of 0, 1, got '9'"),
        ({"0": np.zeros((3, 2))}, {}, r"weight of layer '0' must have shape \(2, 3\), got \(3, 2\)"),
        ({"0": np.full((2, 3), np.inf)}, {}, "weight of layer '0' must be finite, got 6"),
        ({}, {"1": np.zeros(2)}, "layer '1' must have a bias for it to be replaced, got none"),
    ],
)
def test_unusable_replacements_are_refused(weights, biases, message):
    network = sq.Network(nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2, bias=False)), random(1, 3))
    with pytest.raises(sq.InputError, match=message):
        network.replaced(weights, biases)


def test_fingerprint_sees_buffers_names_and_types():
    def fingerprint(change) -> str:
        module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        with torch.no_grad():
            module[0].weight.fill_(1.0)
            module[0].bias.zero_()
            change(module)
        return sq.Network(module, random(1, 2)).fingerprint

    changes = [
        lambda module: None,
        lambda module: module[1].running_mean.fill_(1.0),
        lambda module: module[1].num_batches_tracked.add_(1),
        lambda module: module.double(),
        lambda module: module[0].weight.mul_(1 + 2**-23),
    ]
    assert len({fingerprint(change) for change in changes}) == len(changes)
    assert fingerprint(changes[0]) == fingerprint(changes[0])


def test_weights_put_in_keep_the_memory_order_of_the_original():
    """Products of the same numbers in another order in memory are rounded otherwise: a file would load unequal."""
    network = sq.Network(nn.Sequential(nn.Linear(6, 4)), torch.zeros(1, 6))
    put_in = network.replaced({"0": np.asfortranarray(np.random.default_rng(0).standard_normal((4, 6)))})
    for module in (put_in.module, put_in.module64):
        assert module[0].weight.stride() == (6, 1)
