"""A network that reads digits, stored by three methods at a few bits a weight; it answers without torch.

The packed files are those that `sq.compress` writes. ``python -c "from sdqviz.explore import toy; toy.build()"`` makes
them anew.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from sdqviz import asset
from sdqviz.array import Array
from sdqviz.compression import packed_file
from sdqviz.compression.compress import compress
from sdqviz.explore.formula import Formula
from sdqviz.explore.wording import begun
from sdqviz.methods import METHODS
from sdqviz.networks.catalogue import NETWORKS
from sdqviz.strict_json import read_json, write_json
from sdqviz.tensor_file import open_tensors

NETWORK, SEED, CALIBRATION = "mnist-fnn", 0, 512
"""The network, its seed, and the calibration pictures of path following."""

FOLDER, FIGURES = "toy", "toy/figures.json"

FULL = 32
"""Bits of a weight of the network as it was trained."""

BITS = (FULL, 8, 4, 3, 2, 1)
"""What the weights may take."""

METHOD_NAMES = ("round-to-nearest", "frame", "gpfq")
"""The three ways, in the order they are shown."""

DIGITS = 10


def method(name: str, bits: int) -> Any:
    """Return the choice of one of the three ways."""
    given: dict[str, dict[str, Any]] = {
        "round-to-nearest": {"fit": "mse"},
        "frame": {
            "frame": "half-frequency", "redundancy": 1.0, "step_rule": "range-column", "signs": True, "order": 0,
            "step_bits": "16",
        },
        "gpfq": {},
    }  # fmt: skip
    return METHODS.from_dict({"name": name, "bits": bits, **given[name]})


@dataclasses.dataclass(frozen=True, eq=False)
class Copy:
    """The network as one of the ways stores it.

    Attributes
    ----------
    name : str
        The method's.
    weights : tuple of ndarray
        A matrix (outputs, inputs) a layer; between layers negative values become 0.
    size : int
        Bytes of its file.
    bits_per_weight : float
        Of that file, everything counted.
    accuracy : float
        Share of the 10,000 test pictures it reads rightly.
    """

    name: str
    weights: tuple[Array, ...]
    size: int
    bits_per_weight: float
    accuracy: float

    def answer(self, pictures: Array) -> Array:
        """Return the probability of each digit.

        Parameters
        ----------
        pictures : ndarray, shape (n, 28, 28)
            0 … 1.

        Returns
        -------
        ndarray, shape (n, 10)
        """
        values = np.asarray(pictures, np.float32).reshape(len(pictures), -1)
        for matrix in self.weights[:-1]:
            values = np.maximum(values @ matrix.T, 0)
        logits = (values @ self.weights[-1].T).astype(float)
        grown = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(grown / grown.sum(axis=1, keepdims=True))


@functools.cache
def copies(bits: int) -> tuple[Copy, ...]:
    """Return the three copies at so many bits a weight; at 32 each is the network as it was trained."""
    if bits == FULL:
        original = trained()
        return tuple(dataclasses.replace(original, name=name) for name in METHOD_NAMES)
    return tuple(_stored(name, bits) for name in METHOD_NAMES)


@functools.cache
def trained() -> Copy:
    """Return the network as it was trained."""
    name = f"networks/{NETWORK}-seed{SEED}.safetensors"
    data = asset.path(name).read_bytes()
    _, tensors = open_tensors(data)
    weights = tuple(tensors[f"{layer}.weight"].array().astype(np.float32) for layer in stored_figures()["layers"])
    count = sum(one.size for one in weights)
    return Copy("", weights, len(data), 8 * len(data) / count, stored_figures()["accuracy"]["trained"])


def _stored(name: str, bits: int) -> Copy:
    file = packed_file.read(asset.path(_place(name, bits)))
    found, _ = file.decode()
    weights = tuple(np.asarray(found[layer], np.float32) for layer in stored_figures()["layers"])
    return Copy(name, weights, file.size, file.bits_per_weight, stored_figures()["accuracy"][f"{name} {bits}"])


def _place(name: str, bits: int) -> str:
    return f"{FOLDER}/{name}-{bits}.sdq"


@functools.cache
def stored_figures() -> dict[str, Any]:
    """Return what the shipped file has: layers, accuracies, pictures."""
    found: dict[str, Any] = read_json(asset.path(FIGURES).read_bytes(), "the figures of the toy must be")
    return found


@functools.cache
def pictures() -> tuple[Array, tuple[int, ...]]:
    """Return the twenty test digits one can pick, shape (20, 28, 28), 0 … 1, and what they are."""
    with np.load(asset.path("mnist.npz"), allow_pickle=False) as arrays:
        chosen = stored_figures()["pictures"]
        images, labels = arrays["test_images"][chosen] / 255, arrays["test_labels"][chosen]
    return images, tuple(int(label) for label in labels)


def build() -> None:
    """Compress the network in every way, write the files and what was measured, and list them in the manifest."""
    network = NETWORKS[NETWORK](seed=SEED).load()
    folder = asset.folder() / FOLDER
    folder.mkdir(exist_ok=True)
    accuracy: dict[str, float] = {"trained": network.accuracy()}
    layers = [layer.name for layer in network.layers]
    for bits in BITS[1:]:
        for name in METHOD_NAMES:
            result = compress(network, method(name, bits), calibration=CALIBRATION, seed=SEED)
            result.save(asset.folder() / _place(name, bits))
            accuracy[f"{name} {bits}"] = float(result.report.accuracy_after or 0.0)
    figures = {"layers": layers, "accuracy": accuracy, "pictures": []}
    _write(figures)
    copies.cache_clear()
    _write(figures | {"pictures": choose_pictures()})


def _write(figures: dict[str, Any]) -> None:
    (asset.folder() / FIGURES).write_text(write_json(figures, 1) + "\n", encoding="utf-8")
    asset.write_manifest()
    stored_figures.cache_clear()
    trained.cache_clear()


def choose_pictures() -> list[int]:
    """Return of each digit the first test picture that no copy misreads, and the first that some copy does.

    The trained network reads both rightly.
    """
    with np.load(asset.path("mnist.npz"), allow_pickle=False) as arrays:
        images, labels = arrays["test_images"] / 255, arrays["test_labels"].astype(int)
    right = trained().answer(images).argmax(axis=1) == labels
    hard = np.zeros(len(labels), bool)
    for bits in BITS[1:]:
        for copy in copies(bits):
            hard |= copy.answer(images).argmax(axis=1) != labels
    chosen = []
    for digit in range(DIGITS):
        mine = np.flatnonzero((labels == digit) & right)
        first = next(int(k) for k in mine if not hard[k])
        chosen += [first, next(int(k) for k in mine if hard[k])]
    return chosen


TITLES = {"round-to-nearest": "Rounding", "frame": "In a frame", "gpfq": "Path following"}
"""What the three ways are called to a visitor."""

WHO = {"round-to-nearest": "rounding", "frame": "the copy in a frame", "gpfq": "path following"}
"""What they are called within a sentence."""


def verdict(answers: Mapping[str, Array], original: Array, label: int | None) -> str:
    """Say in one sentence who reads the picture as what.

    Parameters
    ----------
    answers : mapping of str to ndarray, shape (10,)
        Probabilities by method.
    original : ndarray, shape (10,)
        Those of the network as it was trained.
    label : int or None
        What the picture is, where that is known.
    """
    read = {name: int(answer.argmax()) for name, answer in answers.items()}
    before = int(original.argmax())
    truth = "" if label is None else f"The picture is {_a(label)}. "
    if len(set(read.values())) == 1:
        (digit,) = set(read.values())
        beside = "" if digit == before else f", where the network as it was trained reads {_a(before)}"
        return f"{truth}All three copies read {_a(digit)}{beside}."
    by_digit = {digit: [WHO[name] for name in read if read[name] == digit] for digit in dict.fromkeys(read.values())}
    parts = [f"{' and '.join(who)} read{'s' if len(who) == 1 else ''} {_a(digit)}" for digit, who in by_digit.items()]
    text = ", ".join(parts)
    return f"{truth}{begun(text)}; the network as it was trained reads {_a(before)}."


def _a(digit: int) -> str:
    return f"{'an' if digit == 8 else 'a'} {digit}"


def formula(bits: int) -> Formula:
    """Return how a copy of the network gets its probabilities."""
    return Formula(
        r"p_k=\frac{e^{z_k}}{\sum_j e^{z_j}},\qquad z=Q_3\,\rho(Q_2\,\rho(Q_1x))",
        [
            ("x", "the picture, 28 · 28 numbers", ""),
            ("Q_i", "the stored weights of layer i, bits each", str(bits)),
            (r"\rho", "negative values become 0", ""),
        ],
        "Computed from the packed files of three copies of mnist-fnn; pick it on the Network page for the "
        "errors and bounds of its layers.",
    )
