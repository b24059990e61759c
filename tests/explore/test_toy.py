"""The toy's copies are what the engine makes, read as torch does, and are as accurate as the page says."""

import numpy as np
import pytest

import sdqviz as sq
from sdqviz import asset
from sdqviz.compression.compress import compress
from sdqviz.explore import toy
from sdqviz.networks.catalogue import NETWORKS

COPIES = [(name, bits) for bits in toy.BITS[1:] for name in toy.METHOD_NAMES]


def copy_of(name, bits):
    return next(one for one in toy.copies(bits) if one.name == name)


@pytest.fixture(scope="module")
def test_set():
    with np.load(asset.path("mnist.npz")) as arrays:
        return (arrays["test_images"] / 255).astype(np.float32), arrays["test_labels"]


def test_every_copy_is_as_accurate_as_is_said(test_set):
    images, labels = test_set
    for copy in [toy.trained(), *(copy_of(*one) for one in COPIES)]:
        right = int((copy.answer(images).argmax(axis=1) == labels).sum())
        assert abs(right - 10_000 * copy.accuracy) <= 1  # a near tie may fall differently in another order of sums


@pytest.mark.parametrize(("name", "bits"), [("frame", 2), ("gpfq", 3)])
def test_answers_are_those_of_torch(name, bits):
    import torch

    pictures, _ = toy.pictures()
    network = sq.load(asset.path(f"toy/{name}-{bits}.sdq"))
    with torch.no_grad():
        logits = network.module(torch.tensor(pictures[:, None], dtype=torch.float32))
    np.testing.assert_allclose(copy_of(name, bits).answer(pictures), torch.softmax(logits, 1).numpy(), atol=1e-5)


def test_a_file_is_made_anew_byte_for_byte_in_its_levels():
    network = NETWORKS[toy.NETWORK](seed=toy.SEED).load()
    again = compress(network, toy.method("round-to-nearest", 1), calibration=toy.CALIBRATION, seed=toy.SEED)
    made = {layer.name: layer.weight for layer in again.network.layers}
    for weight, name in zip(copy_of("round-to-nearest", 1).weights, made, strict=True):
        np.testing.assert_array_equal(weight, made[name])


def test_sizes_are_those_of_the_files_and_fall_with_the_bits():
    for name in toy.METHOD_NAMES:
        sizes = [copy_of(name, bits).size for bits in toy.BITS]
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[-1] == (asset.folder() / f"toy/{name}-1.sdq").stat().st_size


@pytest.mark.slow
def test_the_pictures_are_those_the_rule_gives():
    assert toy.choose_pictures() == toy.stored_figures()["pictures"]


def test_the_verdict_names_who_reads_what():
    def sure(digit):
        return np.eye(10)[digit]

    answers = dict(zip(toy.METHOD_NAMES, map(sure, (8, 3, 3)), strict=True))
    assert toy.verdict(answers, sure(3), 3) == (
        "The picture is a 3. Rounding reads an 8, the copy in a frame and path following read a 3; "
        "the network as it was trained reads a 3."
    )
    same = dict.fromkeys(toy.METHOD_NAMES, sure(4))
    assert toy.verdict(same, sure(4), None) == "All three copies read a 4."
    assert toy.verdict(same, sure(9), None).endswith("where the network as it was trained reads a 9.")
