"""Four bits by default on a trained transformer with outlier channels: outputs keep their direction."""

import copy

import numpy as np
import pytest
import torch

import sdqviz as sq

pytestmark = pytest.mark.slow
OUTLIERS, FACTOR = 2, 8.0


def with_outliers(network: sq.Network) -> sq.Network:
    """Make some channels large in the weights and small in the activations, or the other way; the function stays."""
    module = copy.deepcopy(network.module)
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for block in module.blocks:
            attention = block.attention
            readers = {block.norm1: (attention.query, attention.key, attention.value), block.norm2: (block.inner,)}
            for norm, layers in readers.items():
                for factor in (FACTOR, 1 / FACTOR):
                    chosen = torch.as_tensor(rng.choice(norm.weight.numel(), OUTLIERS, replace=False))
                    norm.weight[chosen] /= factor
                    norm.bias[chosen] /= factor
                    for layer in layers:
                        layer.weight[:, chosen] *= factor
    return sq.Network(module, network.example_input)


@pytest.fixture(scope="module")
def networks():
    plain = sq.NETWORKS["vit-tiny"](seed=0).load()
    return plain, with_outliers(plain)


def cosine(network: sq.Network, dataset: sq.Dataset, name: str, **choice) -> float:
    calibration, held_out = dataset.calibration(256, 0), dataset.test(200)[0]
    small = sq.compress(network, sq.METHODS[name](bits=4, **choice), calibration).network
    before, after = network.outputs(held_out), small.outputs(held_out)
    return float(((before * after).sum(1) / np.linalg.norm(before, axis=1) / np.linalg.norm(after, axis=1)).mean())


def test_the_outliers_change_no_output(networks):
    plain, outlying = networks
    x = plain.dataset.test(50)[0]
    np.testing.assert_allclose(outlying.outputs(x, "float64"), plain.outputs(x, "float64"), rtol=1e-4, atol=1e-4)
    largest = max(np.abs(layer.weight).max() / layer.weight.std() for layer in outlying.layers)
    assert largest > 8


@pytest.mark.parametrize(("name", "least"), [("round-to-nearest", 0.88), ("gpfq", 0.93), ("gptq", 0.95)])
def test_four_bits_by_default_keep_the_direction_of_the_outputs(networks, name, least):
    found = cosine(networks[1], networks[0].dataset, name)
    print(f"{name}: mean cosine {found:.4f}")
    assert found >= least
