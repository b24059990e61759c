"""How errors of the layers add up to the error of a network: one (norm, error) recursion."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from sdqviz.array import Array
from sdqviz.bounds.statement import CZAJA_NA, Bound, Hypothesis, bound, condition, number_tex
from sdqviz.error import InputError

BIASES = ("none", "kept", "quantized")
"""No bias; a bias left in float; a bias quantized as the last column of [W b]."""


NEW_ROW = r"\\"


@dataclasses.dataclass(frozen=True)
class Dense:
    """What the recursion needs of one affine layer and the activation after it.

    Attributes
    ----------
    norm : float
        ‖W‖₂.
    error : float
        B with ‖W − Q‖₂ ≤ B; where the bias is quantized too, B bounds ‖[W b] − [Q c]‖₂.
    lipschitz : float
        L of the activation that follows (1 where none does); it maps 0 to 0.
    bias : {"none", "kept", "quantized"}
        No bias; left in float; quantized as the last column of [W b].
    bias_norm : float
        ‖b‖, used where the bias is kept.
    joint_norm : float, optional
        ‖[W b]‖₂, used where the bias is quantized; √(‖W‖² + ‖b‖²) if not given.
    quantized_norm : float, optional
        ‖Q‖₂ (of [Q c] where the bias is quantized), if it is known; otherwise Lemma 5.2 is used.
    error_holds : bool
        Whether ``error`` is a verified bound.
    name : str
        Shown where a hypothesis fails.
    """

    norm: float
    error: float
    lipschitz: float = 1.0
    bias: str = "none"
    bias_norm: float = 0.0
    joint_norm: float | None = None
    quantized_norm: float | None = None
    error_holds: bool = True
    name: str = ""

    def __post_init__(self) -> None:
        """Refuse negative norms and unknown kinds of bias."""
        for what in ("norm", "error", "lipschitz", "bias_norm"):
            if getattr(self, what) < 0:
                raise InputError(f"{what} must not be negative, got {getattr(self, what)}")
        if self.bias not in BIASES:
            raise InputError(f"bias must be one of {', '.join(BIASES)}, got {self.bias!r}")

    def propagate(self, norm: Array, error: Array) -> tuple[Array, Array]:
        """Map bounds on (‖x̃‖, ‖x − x̃‖) before the layer to the same after its activation."""
        if self.bias == "quantized":
            lifted = np.hypot(norm, 1.0)
            joint = math.hypot(self.norm, self.bias_norm) if self.joint_norm is None else self.joint_norm
            grown = (joint + self.error if self.quantized_norm is None else self.quantized_norm) * lifted
            return self.lipschitz * grown, self.lipschitz * (self.norm * error + self.error * lifted)
        grown = (self.norm + self.error if self.quantized_norm is None else self.quantized_norm) * norm
        if self.bias == "kept":
            grown = grown + self.bias_norm
        return self.lipschitz * grown, self.lipschitz * (self.norm * error + self.error * norm)


@dataclasses.dataclass(frozen=True)
class Residual:
    """A residual block x ← x + V ρ(Wx + b) + c, with or without an activation after the sum.

    Attributes
    ----------
    inner : Dense
        W, b and the activation ρ inside the block.
    outer : Dense
        V and c; no activation, so its ``lipschitz`` is 1.
    lipschitz : float
        L of the activation after the sum, 1 for none or ReLU.
    """

    inner: Dense
    outer: Dense
    lipschitz: float = 1.0

    def propagate(self, norm: Array, error: Array) -> tuple[Array, Array]:
        """Add what the branch does to what the skip connection carries."""
        branch_norm, branch_error = self.outer.propagate(*self.inner.propagate(norm, error))
        return self.lipschitz * (norm + branch_norm), self.lipschitz * (error + branch_error)


Stage = Dense | Residual


def propagate(stages: Sequence[Stage], input_norm: ArrayLike) -> tuple[Array, Array]:
    """Run the recursion for inputs of the given norms.

    Parameters
    ----------
    stages : sequence of Dense or Residual
        The network from input to output.
    input_norm : array_like, shape (...)
        ‖x‖ of each input, the same for both networks.

    Returns
    -------
    norm, error : ndarray, shape (...)
        Bounds on ‖f_Q(x)‖ and on ‖f(x) − f_Q(x)‖; infinite where they overflow.
    """
    layers_of(stages)
    norm = np.asarray(input_norm, float)
    if (norm < 0).any():
        raise InputError(f"input_norm must not be negative, got {norm.min():.3g}")
    error = np.zeros_like(norm)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is reported as not finite
        for stage in stages:
            norm, error = stage.propagate(norm, error)
    return norm, error


def layers_of(stages: Sequence[Stage]) -> list[Dense]:
    """Return all layers from input to output, those inside blocks included."""
    flat: list[Dense] = []
    for stage in stages:
        flat.extend((stage,) if isinstance(stage, Dense) else (stage.inner, stage.outer))
    if not flat:
        raise InputError("stages must contain at least one layer, got none")
    return flat


def _label(layers: Sequence[Dense], index: int) -> str:
    return f"layer {layers[index].name or index + 1}"


def verified_errors(stages: Sequence[Stage]) -> Hypothesis:
    """Require that the error of every layer is a bound that holds, and that its norm is a number."""
    layers = layers_of(stages)
    needs = "‖W_i − Q_i‖ ≤ B_i"
    unknown = [_label(layers, i) for i, layer in enumerate(layers) if not math.isfinite(layer.norm + layer.error)]
    if unknown:
        return Hypothesis("errors", needs, f"a norm is not finite in {', '.join(unknown)}", False)
    failing = [_label(layers, i) for i, layer in enumerate(layers) if not layer.error_holds]
    return condition(
        "errors",
        needs,
        not failing,
        f"the bound on W − Q does not hold for {', '.join(failing)}",
        f"‖W_i − Q_i‖ ≤ B_i is verified for all {len(layers)} layers",
    )


def without_biases(stages: Sequence[Stage]) -> Hypothesis:
    """Require that no layer has a bias."""
    layers = layers_of(stages)
    having = [_label(layers, i) for i, layer in enumerate(layers) if layer.bias != "none"]
    told = f"the theorem is for networks without biases and {', '.join(having)} has one"
    return condition("biases", "no layer has a bias", not having, told)


def largest_norm(input_norm: ArrayLike) -> float:
    """Return the largest ‖x‖, which is what a bound for all the inputs uses."""
    norms = np.asarray(input_norm, float)
    if norms.size == 0:
        raise InputError("input_norm must contain at least one norm, got none")
    return float(norms.max())


def network_bound(stages: Sequence[Stage], input_norm: ArrayLike) -> Bound:
    """Bound ‖f(x) − f_Q(x)‖ for every input with ‖x‖ at most the largest norm given.

    Parameters
    ----------
    stages : sequence of Dense or Residual
        The network from input to output.
    input_norm : array_like
        ‖x‖; of several the largest counts, since the bound grows with ‖x‖.
    """
    largest = largest_norm(input_norm)
    _, error = propagate(stages, largest)
    trail = [f"r_0={number_tex(largest)}"]
    for index in range(len(stages)):
        r, e = propagate(stages[: index + 1], largest)
        trail.append(rf"(r_{{{index + 1}}},e_{{{index + 1}}})=({number_tex(float(r))},{number_tex(float(e))})")
    kinds = {layer.bias for layer in layers_of(stages)}
    residual = any(isinstance(stage, Residual) for stage in stages)
    text = "residual" if residual else "network-bound" if kinds == {"none"} else "biases"
    return bound(
        "network",
        "Through all layers",
        float(error),
        (verified_errors(stages),),
        reference=f"proved in our docs: {text}; without biases {CZAJA_NA}, Theorem {'5.6' if residual else '5.3'}",
        text=text,
        formula=_recursion_tex(kinds, residual),
        substituted=rf"\begin{{gathered}}{NEW_ROW.join(trail)}\end{{gathered}}\quad e_{{{len(stages)}}}",
    )


def _recursion_tex(kinds: set[str], residual: bool) -> str:
    lines = []
    if "none" in kinds:
        lines.append(r"e_i=L_i(\|W_i\|e_{i-1}+B_ir_{i-1}),\; r_i=L_i(\|W_i\|+B_i)r_{i-1}")
    if "kept" in kinds:
        lines.append(r"e_i=L_i(\|W_i\|e_{i-1}+B_ir_{i-1}),\; r_i=L_i((\|W_i\|+B_i)r_{i-1}+\|b_i\|)")
    if "quantized" in kinds:
        lines.append(
            r"e_i=L_i\bigl(\|W_i\|e_{i-1}+B_i\sqrt{r_{i-1}^2+1}\bigr),\;"
            r" r_i=L_i(\|[W_i\,b_i]\|+B_i)\sqrt{r_{i-1}^2+1}"
        )
    if residual:
        lines.append(r"(r,e)\leftarrow(r,e)+\text{branch}(r,e)")
    return r"\begin{gathered}" + NEW_ROW.join(lines) + r"\end{gathered}"
