"""The paper's closed forms of the recursion through a network: Theorem 5.3, Corollary 5.4, (14) and Theorem 5.6."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from sdqviz.array import Array, spectral_norm
from sdqviz.bounds.layer import lemma_5_1_harmonic_rounded
from sdqviz.bounds.network import Dense, Residual, Stage, largest_norm, layers_of, verified_errors, without_biases
from sdqviz.bounds.statement import CZAJA_NA, Bound, Hypothesis, bound, condition, number_tex, together
from sdqviz.error import InputError
from sdqviz.frames.walk import Walk


def theorem_5_3(stages: Sequence[Stage], input_norm: ArrayLike) -> Bound:
    """Theorem 5.3: ‖x‖L^(n−1) Σ_i (Π_{j>i}‖W_j‖) B_i Π_{j<i}(‖W_j‖+B_j), for chains without biases.

    The activations share one constant L and none follows the last layer.
    """
    norm = largest_norm(input_norm)
    layers = layers_of(stages)
    chain = all(isinstance(stage, Dense) for stage in stages)
    lipschitz = max((layer.lipschitz for layer in layers[:-1]), default=1.0)
    weights = np.array([layer.norm for layer in layers], float)
    errors = np.array([layer.error for layer in layers], float)
    with np.errstate(over="ignore", invalid="ignore"):
        terms = [
            float(np.prod(weights[i + 1 :]) * errors[i] * np.prod(weights[:i] + errors[:i])) for i in range(len(layers))
        ]
        value = norm * np.float64(lipschitz) ** (len(layers) - 1) * sum(terms)
    last = layers[-1].lipschitz
    return bound(
        "theorem-5-3",
        "Feed-forward network (Theorem 5.3)",
        float(value),
        (
            condition("chain", "the layers form a chain", chain, "the network has residual blocks"),
            without_biases(stages),
            verified_errors(stages),
            condition("last", "no activation follows the last layer", last == 1, f"L_n = {last:g} is not 1"),
        ),
        reference=f"{CZAJA_NA}, Theorem 5.3; proved in our docs: network-bound",
        text="network-bound",
        formula=r"\|x\|L^{n-1}\sum_{i=1}^n\Bigl(\prod_{j>i}\|W_j\|\Bigr)B_i\Bigl(\prod_{j<i}(\|W_j\|+B_j)\Bigr)",
        substituted=rf"{number_tex(norm)}\cdot {number_tex(lipschitz)}^{{{len(layers) - 1}}}\cdot\bigl("
        + "+".join(number_tex(term) for term in terms)
        + r"\bigr)",
    )


def _power_gap(large: float, gap: float, power: int) -> float:
    """(a+g)^n − a^n as g·Σ a^(n−1−i)(a+g)^i, which loses no digits for small g."""
    if power == 0:
        return 0.0
    a = np.float64(large)
    with np.errstate(over="ignore", invalid="ignore"):
        return float(gap * sum((a + gap) ** i * a ** (power - 1 - i) for i in range(power)))


def corollary_5_4(stages: Sequence[Stage], input_norm: ArrayLike) -> Bound:
    """Corollary 5.4: ‖x‖L^(n−1)[(λ+B)^n − λ^n], with λ = max‖W_i‖ and B the largest of the B_i."""
    norm = largest_norm(input_norm)
    general = theorem_5_3(stages, norm)
    layers = layers_of(stages)
    n = len(layers)
    lipschitz = max((layer.lipschitz for layer in layers[:-1]), default=1.0)
    top, error = max(layer.norm for layer in layers), max(layer.error for layer in layers)
    with np.errstate(over="ignore", invalid="ignore"):
        value = float(norm * np.float64(lipschitz) ** (n - 1) * _power_gap(top, error, n))
    lam, b = number_tex(top), number_tex(error)
    return bound(
        "corollary-5-4",
        "Feed-forward network, common constants (Corollary 5.4)",
        value,
        general.hypotheses,
        reference=f"{CZAJA_NA}, Corollary 5.4; proved in our docs: network-bound",
        text="network-bound",
        formula=r"\|x\|L^{n-1}\bigl[(\lambda+B)^n-\lambda^n\bigr]",
        substituted=rf"{number_tex(norm)}\cdot {number_tex(lipschitz)}^{{{n - 1}}}"
        rf"\bigl[({lam}+{b})^{{{n}}}-{lam}^{{{n}}}\bigr]",
    )


def equation_14(
    norms: Sequence[float],
    walks: Sequence[Walk],
    steps: Sequence[ArrayLike],
    stable: Sequence[Hypothesis | bool],
    lipschitz: float,
    input_norm: ArrayLike,
) -> Bound:
    """(14): Theorem 5.3 with B_i = (3π/2)δ_i m_i²√m_{i−1}/N_i, for harmonic frames in their order.

    Parameters
    ----------
    norms : sequence of float
        ‖W_i‖₂ of each layer.
    walks : sequence of Walk
        The frame of each layer, as written.
    steps : sequence of array_like, shape (m_{i−1},)
        δ of each column; a common δ enters as √m_{i−1}·δ_i.
    stable : sequence of Hypothesis or bool
        Whether each layer stays in range.
    lipschitz : float
        L of the activations between the layers.
    input_norm : array_like
        ‖x‖; the largest counts.
    """
    bounds = [lemma_5_1_harmonic_rounded(w, s, ok) for w, s, ok in zip(walks, steps, stable, strict=True)]
    last = len(bounds) - 1
    stages = [
        Dense(norm, layer.value, lipschitz if i < last else 1.0)
        for i, (norm, layer) in enumerate(zip(norms, bounds, strict=True))
    ]
    general = theorem_5_3(stages, input_norm)
    return bound(
        "equation-14",
        "Feed-forward network, harmonic frames (14)",
        general.value,
        tuple(together(f"layer-{i + 1}", f"layer {i + 1}", layer.hypotheses) for i, layer in enumerate(bounds)),
        reference=f"{CZAJA_NA}, eq. (14); proved in our docs: network-bound",
        text="network-bound",
        formula=general.formula + r",\quad B_i=\frac{3\pi}{2}\frac{\delta_im_i^2\sqrt{m_{i-1}}}{N_i}",
        substituted=general.substituted.rpartition(" = ")[0],
    )


def theorem_5_6(stages: Sequence[Stage], input_norm: ArrayLike) -> Bound:
    """Theorem 5.6: ‖x‖[(1+(λ+B)²)^K − (1+λ²)^K] for K residual blocks without biases.

    λ and B are the largest over all W and V. Dense layers before and after the blocks multiply:
    ‖x‖[Π(‖W‖+B_W)·(1+(λ+B)²)^K − Π‖W‖·(1+λ²)^K], the products over those dense layers.
    """
    norm = largest_norm(input_norm)
    blocks = [i for i, stage in enumerate(stages) if isinstance(stage, Residual)]
    layers = layers_of([stages[i] for i in blocks]) if blocks else []
    top = max((layer.norm for layer in layers), default=0.0)
    error = max((layer.error for layer in layers), default=0.0)
    outside = [stage for stage in stages if isinstance(stage, Dense)]
    factor, gap = 1.0, 0.0  # product of the norms outside the blocks, and what the errors add to it
    for layer in outside:
        gap = gap * (layer.norm + layer.error) + factor * layer.error
        factor *= layer.norm
    slope = max(
        [layer.lipschitz for layer in layers_of(stages)]
        + [stage.lipschitz for stage in stages if isinstance(stage, Residual)]
    )
    count = len(blocks)
    base = 1 + top * top  # a power would raise where a product overflows to infinity
    blocks_gap = _power_gap(base, error * (2 * top + error), count)
    with np.errstate(over="ignore", invalid="ignore"):
        value = norm * ((factor + gap) * blocks_gap + gap * np.float64(base) ** count)
    lam, b = number_tex(top), number_tex(error)
    around = (number_tex(factor + gap) + r"\cdot ", number_tex(factor) + r"\cdot ") if outside else ("", "")
    return bound(
        "theorem-5-6",
        "Residual network (Theorem 5.6)",
        float(value),
        (
            condition("blocks", f"K = {count} residual blocks", count > 0, "the network has no residual blocks"),
            without_biases(stages),
            verified_errors(stages),
            condition(
                "slope", "the activations are 1-Lipschitz", slope <= 1, f"the activations are only {slope:g}-Lipschitz"
            ),
        ),
        reference=f"{CZAJA_NA}, Theorem 5.6; proved in our docs: residual",
        text="residual",
        formula=r"\|x\|\bigl[(1+(\lambda+B)^2)^K-(1+\lambda^2)^K\bigr]"
        if not outside
        else r"\|x\|\bigl[\textstyle\prod(\|W\|+B)\,(1+(\lambda+B)^2)^K-\prod\|W\|\,(1+\lambda^2)^K\bigr]",
        substituted=rf"{number_tex(norm)}\bigl[{around[0]}(1+({lam}+{b})^2)^{{{count}}}"
        rf"-{around[1]}(1+{lam}^2)^{{{count}}}\bigr]",
    )


def inner_with_bias(weight: ArrayLike, bias: ArrayLike) -> Array:
    """Return Ŵ = [[W b], [0 1]]: the inner layer of a block as a linear map of (x, 1)."""
    w = np.asarray(weight, float)
    return np.block([[w, np.asarray(bias, float)[:, None]], [np.zeros((1, w.shape[1])), np.ones((1, 1))]])


def outer_with_bias(weight: ArrayLike, bias: ArrayLike) -> Array:
    """Return V̂ = [[V c], [0 0]]: the outer layer of a block, which leaves the 1 to the skip connection."""
    v = np.asarray(weight, float)
    return np.block([[v, np.asarray(bias, float)[:, None]], [np.zeros((1, v.shape[1] + 1))]])


def theorem_5_6_biases(
    blocks: Sequence[tuple[Array, Array]], error: float, input_norm: ArrayLike, *, error_holds: bool = True
) -> Bound:
    """Theorem 5.6 for blocks with quantized biases: ‖(x,1)‖[(1+(λ+B)²)^K − (1+λ²)^K] over Ŵ and V̂.

    Parameters
    ----------
    blocks : sequence of (Ŵ, V̂)
        From `inner_with_bias` and `outer_with_bias`; the activation is ReLU, which keeps the 1.
    error : float
        B, a bound on every ‖[W b] − [Q c]‖₂.
    input_norm : array_like
        ‖x‖ (not ‖(x,1)‖); the largest counts.
    error_holds : bool
        Whether ``error`` is verified.
    """
    if not blocks:
        raise InputError("blocks must contain at least one block, got none")
    lifted = math.hypot(largest_norm(input_norm), 1)
    top = max(spectral_norm(matrix) for pair in blocks for matrix in pair)
    plain = Dense(top, error, error_holds=error_holds)
    same = theorem_5_6([Residual(plain, plain)] * len(blocks), lifted)
    lifts = condition("biases", "biases are part of the lifted matrices, ReLU keeps the 1", True)
    return dataclasses.replace(
        same,
        name="theorem-5-6-biases",
        title="Residual network with biases",
        hypotheses=tuple(lifts if one.name == "biases" else one for one in same.hypotheses),
        reference="proved in our docs: residual",
        formula=r"\|(x,1)\|\bigl[(1+(\hat\lambda+B)^2)^K-(1+\hat\lambda^2)^K\bigr]",
    )
