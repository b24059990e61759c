"""One vector through one frame: everything a ΣΔ walk does to it, with plain rounding beside it."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from sdqviz import asset, memory
from sdqviz.array import Array, Index
from sdqviz.bounds.hypotheses import stability
from sdqviz.bounds.statement import Bound, tightest
from sdqviz.bounds.vector import vector_bounds
from sdqviz.choice import Choice, field
from sdqviz.error import InputError
from sdqviz.explore.pasted import LONGEST, parse_vector
from sdqviz.frames.frame import ROWS_AT_ONCE, Frame
from sdqviz.frames.walk import Walk
from sdqviz.quantizers.alphabet import MAXIMUM_BITS, Midrise
from sdqviz.sigma_delta.recursion import Pcm, SigmaDelta
from sdqviz.sigma_delta.trace import Trace

SOURCES = ("gaussian", "sine", "weights", "pasted")


STEP_RULES = ("range", "norm", "by-hand")


STEP_BITS = 32
"""Bits of the stored step δ."""


def weight_files() -> tuple[str, ...]:
    """Return the names of the weight files of the shipped networks for handwritten digits."""
    return tuple(sorted(file.stem for file in (asset.folder() / "networks").glob("mnist-*.safetensors")))


@dataclasses.dataclass(frozen=True)
class VectorChoice(Choice):
    """What is quantized, and how finely.

    The input is a Gaussian vector, two periods of a sine, one column of a shipped network's weights
    (the weights that leave one input of the layer), or numbers the user pasted.
    """

    name = "vector"
    title = "One vector"

    input: str = field(
        "gaussian",
        label="Input",
        help="The vector to quantize: random (it follows the seed), two periods of a sine, one column of a trained "
        "network's weights, or your own numbers.",
        options=SOURCES,
    )
    network: str = field(
        "mnist-fnn-seed0", label="Network", help="A shipped network and its training seed.", options=weight_files
    )
    layer: int = field(1, label="Layer", help="Which layer's weights, counted from the input.", minimum=1, maximum=6)
    column: int = field(
        400, label="Column", help="The weights that leave this input of the layer.", minimum=0, maximum=783
    )
    pasted: str = field(
        "0.6, -0.3, 0.74",
        label="Your numbers",
        help=f"Up to {LONGEST} numbers, separated by commas, spaces or new lines.",
    )
    bits: int = field(
        1,
        label="Bits per level",
        help="Each frame coefficient becomes one of 2^bits levels.",
        minimum=1,
        maximum=8,
    )
    step_rule: str = field(
        "range",
        label="Step rule",
        help="How δ is chosen. range: the largest coefficient just fits, max|x_n| = (K−½)δ. norm: the paper's "
        "condition ‖x‖ = (K−½)δ, usually far larger. by-hand: your own δ; too small a δ overloads the quantizer.",
        options=STEP_RULES,
    )
    step: float = field(
        0.5,
        label="Step δ",
        help="Distance of neighbouring levels, in the units of the vector.",
        minimum=1e-6,
        maximum=1e6,
    )

    @property
    def fixed_dimension(self) -> int | None:
        """Length of the vector where the input decides it, else None.

        Raises
        ------
        InputError
            If pasted text is not a list of numbers, or the network has no such layer.
        """
        if self.input in ("weights", "pasted"):
            return len(self.vector(0, 0))
        return None

    def vector(self, dimension: int, seed: int) -> Array:
        """Return the vector, shape (d,); ``dimension`` counts only for made-up inputs.

        Raises
        ------
        InputError
            If pasted text is not a list of numbers, or the network has no such layer or column.
        """
        if self.input == "gaussian":
            return np.random.default_rng([seed, 1]).standard_normal(dimension)
        if self.input == "sine":
            return np.sin(4 * np.pi * (np.arange(dimension) + 0.5) / dimension)
        if self.input == "weights":
            return weight_column(self.network, self.layer, self.column)
        return parse_vector(self.pasted)


@functools.lru_cache(maxsize=12)
def weight_matrices(name: str) -> tuple[tuple[str, Array], ...]:
    """Return the layers of a shipped network by name, each as a matrix of outputs × inputs, in their order."""
    from safetensors.numpy import load_file

    # by the order of the layers: a later layer has a narrower input in every shipped network
    tensors = load_file(asset.path(f"networks/{name}.safetensors"))
    order = ("conv1", "conv2", "input", "block1.inner", "block1.outer", "block2.inner", "block2.outer", "hidden1")
    named = {key.removesuffix(".weight"): np.asarray(v, float) for key, v in tensors.items() if v.ndim >= 2}
    rank = {layer: place for place, layer in enumerate((*order, "hidden2", "hidden", "output"))}
    return tuple((layer, named[layer].reshape(len(named[layer]), -1)) for layer in sorted(named, key=lambda n: rank[n]))


def weight_column(network: str, layer: int, column: int) -> Array:
    """Return one column of a shipped network's weight matrix, shape (outputs,); no torch is needed.

    Parameters
    ----------
    network : str
        File name without its ending, for example ``"mnist-fnn-seed0"``.
    layer : int
        Counted from 1 at the input. A convolution's kernels are flattened to rows.
    column : int
        Counted from 0.
    """
    name, matrix = weight_matrix(network, layer)
    if not 0 <= column < matrix.shape[1]:
        last = matrix.shape[1] - 1
        raise InputError(f"column must be between 0 and {last} in layer {name}, got {column}", column=last)
    return np.array(matrix[:, column])


def weight_matrix(network: str, layer: int) -> tuple[str, Array]:
    """Return the name of a layer of a shipped network and its weights, shape (outputs, inputs); no torch is needed.

    Parameters as in `weight_column`.
    """
    matrices = weight_matrices(network)
    if not 1 <= layer <= len(matrices):
        most = len(matrices)
        raise InputError(f"layer must be between 1 and {most} for {network}, got {layer}", layer=most)
    return matrices[layer - 1]


@dataclasses.dataclass(frozen=True, eq=False)
class VectorRun:
    """What came of one vector. Sequences of length N are in the order of the walk.

    Attributes
    ----------
    vector : ndarray, shape (d,)
        x.
    frame : Frame
        The frame.
    order : ndarray of int, shape (N,)
        The walk p.
    walk : Walk
        Its geometry.
    bits : int
        Bits per level.
    step : float
        δ.
    trace, rounded : Trace
        ΣΔ, and rounding of each coefficient on its own with the same levels (PCM).
    reconstruction, rounded_reconstruction : ndarray, shape (d,)
        x̃ of both.
    running_error, rounded_running_error : ndarray, shape (N,)
        ‖S⁻¹ Σ_{n≤k}(x_n − q_n)e_n‖: what the first k levels leave behind.
    running_bound : ndarray, shape (N,)
        (δd/2N)(σ of the first k steps + 1), which bounds ``running_error`` where the theorem applies.
    partial_sums, true_sums : ndarray, shape (N, min(d, 3))
        The walks S⁻¹Σ_{n≤k} q_n e_n and S⁻¹Σ_{n≤k} x_n e_n, first coordinates.
    bounds : tuple of Bound
        Bounds on ‖x − x̃‖.
    plain_bits : int
        Bits per weight of rounding the vector itself, the most that are not more than ΣΔ's.
    plain : ndarray, shape (d,)
        The vector rounded to that, without a frame.
    """

    vector: Array
    frame: Frame
    order: Index
    walk: Walk
    bits: int
    step: float
    trace: Trace
    rounded: Trace
    reconstruction: Array
    rounded_reconstruction: Array
    running_error: Array
    rounded_running_error: Array
    running_bound: Array
    partial_sums: Array
    true_sums: Array
    bounds: tuple[Bound, ...]
    plain_bits: int
    plain: Array

    @property
    def norm(self) -> float:
        """‖x‖."""
        return float(np.linalg.norm(self.vector))

    @property
    def error(self) -> float:
        """‖x − x̃‖ of ΣΔ."""
        return float(np.linalg.norm(self.vector - self.reconstruction))

    @property
    def rounded_error(self) -> float:
        """‖x − x̃‖ of rounding each frame coefficient on its own."""
        return float(np.linalg.norm(self.vector - self.rounded_reconstruction))

    @property
    def plain_error(self) -> float:
        """‖x − x̃‖ of rounding the vector itself at ``plain_bits`` bits a weight."""
        return float(np.linalg.norm(self.vector - self.plain))

    @property
    def level_bits(self) -> float:
        """Bits of the levels per original weight, N·b/d."""
        return self.frame.size * self.bits / self.frame.dimension

    @property
    def step_bits(self) -> float:
        """Bits of the stored step per original weight, 32/d."""
        return STEP_BITS / self.frame.dimension

    @property
    def bits_per_weight(self) -> float:
        """Bits per original weight: levels and the stored step."""
        return self.level_bits + self.step_bits

    @property
    def overload(self) -> int:
        """Steps at which the quantizer's input left its range."""
        return int(self.trace.overload)

    @property
    def tightest(self) -> Bound:
        """The smallest bound that applies."""
        return tightest(self.bounds)

    def overloaded(self) -> Index:
        """Return the steps n at which |u_{n−1} + x_n| > Kδ, counted from 0."""
        before = np.concatenate([[0.0], self.trace.state[:-1]])
        return np.flatnonzero(np.abs(before + self.trace.coefficients) > 2 ** (self.bits - 1) * self.step)


def run(vector: Array, frame: Frame, order: Index, bits: int, step: float | str, walk: Walk | None = None) -> VectorRun:
    """Quantize one vector over a frame with first-order ΣΔ, and by rounding beside it.

    Parameters
    ----------
    vector : ndarray, shape (d,)
        x; finite and not zero.
    frame : Frame
        The frame.
    order : ndarray of int, shape (N,)
        The walk p.
    bits : int
        Bits per level.
    step : float or str
        δ, or the rule ``"range"`` or ``"norm"`` that gives it.
    walk : Walk, optional
        The geometry of the frame in this order, if it is known already.

    Raises
    ------
    InputError
        If the vector is zero, or the work would not fit.
    """
    if not np.any(vector):
        raise InputError("the vector must not be zero, got zeros only: there is nothing to quantize")
    memory.require("the walk of this vector", frame.size * 60.0, "use a smaller size N")
    coefficients = frame.analyze(vector)[order]
    radius = 2 ** (bits - 1) - 0.5
    if step == "range":
        step = float(np.abs(coefficients).max()) / radius
    elif step == "norm":
        step = float(np.linalg.norm(vector)) / radius
    delta = float(step)
    trace = SigmaDelta(bits=bits, step=delta).run(coefficients)
    rounded = Pcm(bits=bits, step=delta).run(coefficients)
    walk = Walk.of(frame, order) if walk is None else walk
    stable = stability(np.abs(coefficients).max(), delta, bits)
    walks = _partial_sums(frame, order, trace, rounded)
    steps = np.concatenate([[0.0], np.cumsum(frame.steps_along(order))])
    plain_bits = int(min(frame.size * bits // frame.dimension, MAXIMUM_BITS))
    plain = np.zeros_like(vector)
    if plain_bits >= 1:
        plain = Midrise(plain_bits, float(np.abs(vector).max()) / (2 ** (plain_bits - 1) - 0.5)).nearest(vector)
    in_frame_order = np.empty(frame.size), np.empty(frame.size)
    in_frame_order[0][order], in_frame_order[1][order] = trace.quantized, rounded.quantized
    return VectorRun(
        vector=vector,
        frame=frame,
        order=order,
        walk=walk,
        bits=bits,
        step=delta,
        trace=trace,
        rounded=rounded,
        reconstruction=frame.synthesize(in_frame_order[0]),
        rounded_reconstruction=frame.synthesize(in_frame_order[1]),
        running_error=walks[0],
        rounded_running_error=walks[1],
        running_bound=delta * frame.dimension / (2 * frame.size) * (steps + 1),
        partial_sums=walks[2],
        true_sums=walks[3],
        bounds=vector_bounds(walk, delta, stable),
        plain_bits=plain_bits,
        plain=plain,
    )


def _partial_sums(frame: Frame, order: Index, trace: Trace, rounded: Trace) -> tuple[Array, Array, Array, Array]:
    """Walk through the frame a block of vectors at a time; return both errors and both drawn walks."""
    d = frame.dimension
    scale = d / frame.size
    inverse = None if frame.tight else np.linalg.inv(frame.adjoint(frame.analyze(np.eye(d))))
    weights = (trace.coefficients - trace.quantized, rounded.coefficients - rounded.quantized, trace.quantized)
    sums = np.zeros((3, d))
    errors = np.empty((2, frame.size))
    walks = np.empty((2, frame.size, min(d, 3)))
    for start in range(0, frame.size, ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        rows = np.asarray(frame.operator.rows(order[part]))
        dual = rows * scale if inverse is None else rows @ inverse
        paths = [sums[k] + np.cumsum(dual * weights[k][part, None], axis=0) for k in range(3)]
        sums = np.array([path[-1] for path in paths])
        for k in range(2):
            errors[k, part] = np.linalg.norm(paths[k], axis=1)
        walks[0, part] = paths[2][:, :3]
        walks[1, part] = (paths[2] + paths[0])[:, :3]
    return errors[0], errors[1], walks[0], walks[1]
