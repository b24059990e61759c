"""The paper's closed forms of the recursion through a network: Theorem 5.3, Corollary 5.4, (14) and Theorem 5.6."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from sdqviz.bounds.network import Dense, Residual, Stage, largest_norm, layers_of, verified_errors, without_biases
from sdqviz.bounds.statement import CZAJA_NA, Bound, bound, condition, number_tex, together


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


def equation_14(stages: Sequence[Dense], layers: Sequence[Bound], input_norm: ArrayLike) -> Bound:
    """(14): Theorem 5.3 with B_i = (3π/2)δ_i m_i²√m_{i−1}/N_i, for harmonic frames in their order.

    Parameters
    ----------
    stages : sequence of Dense
        The network from input to output; the errors its layers carry are not used.
    layers : sequence of Bound
        `lemma_5_1_harmonic_rounded` of each layer, where a common δ_i enters as √m_{i−1}·δ_i.
    input_norm : array_like
        ‖x‖; the largest counts.
    """
    carried = [
        dataclasses.replace(stage, error=one.value, error_holds=one.holds)
        for stage, one in zip(stages, layers, strict=True)
    ]
    general = theorem_5_3(carried, input_norm)
    by_layer = tuple(together(f"layer-{i + 1}", f"layer {i + 1}", one.hypotheses) for i, one in enumerate(layers))
    return dataclasses.replace(
        general,
        name="equation-14",
        title="Feed-forward network, harmonic frames (14)",
        hypotheses=(*(one for one in general.hypotheses if one.name != "errors"), *by_layer),
        reference=f"{CZAJA_NA}, eq. (14); proved in our docs: network-bound",
        formula=general.formula + r",\quad B_i=\frac{3\pi}{2}\frac{\delta_im_i^2\sqrt{m_{i-1}}}{N_i}",
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
