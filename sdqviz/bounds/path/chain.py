"""Joint bounds on the outputs of a network of layers and residual blocks, each walked on what the ones before left."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from sdqviz.array import Array
from sdqviz.bounds.path.layer import spread
from sdqviz.bounds.path.layer_error import euclidean_size
from sdqviz.bounds.path.statement import ProbabilisticBound, check_failure, check_scaling, probabilistic_bound
from sdqviz.bounds.statement import Hypothesis, condition, number_tex, together
from sdqviz.error import InputError

EVENTS = 2
"""Statements about each layer that are to hold at once: on its neurons' columns, and on its outputs' entries."""


@dataclasses.dataclass(frozen=True, eq=False)
class WalkedLayer:
    """What the joint bounds use of one affine layer that path following quantized, and of the activation after it.

    Attributes
    ----------
    name : str
        Shown where a hypothesis fails.
    samples : int
        m.
    widths : ndarray, shape (out,)
        ω of each neuron's operator.
    alignment : ndarray, shape (out,)
        ‖û‖₂ = ‖Xw − X̃w̃‖₂ of each neuron.
    original : float
        R = max_t‖X_t‖₂ over the layer's inputs in the original network.
    seen : float
        R̃ = max_t‖X̃_t‖₂ over what the walk went along, in the network compressed so far.
    hypotheses : tuple of Hypothesis
        What the statement on this layer rests on, each checked.
    scaling : float
        C.
    lipschitz : float
        L of the activation, which works entry by entry; 1 where none follows.
    thresholds : int
        How many walks the statement must cover, because a threshold was solved for with the same random numbers.
    norm : float
        ‖W‖₂.
    rounding : float
        What rounding in the arithmetic of the forward pass may do to the layer's outputs, roughly.
    """

    name: str
    samples: int
    widths: Array
    alignment: Array
    original: float
    seen: float
    hypotheses: tuple[Hypothesis, ...]
    scaling: float = 1.0
    lipschitz: float = 1.0
    thresholds: int = 1
    norm: float = 0.0
    rounding: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no layer."""
        check_scaling(self.scaling)
        if self.samples < 1 or self.widths.ndim != 1 or self.widths.shape != self.alignment.shape:
            raise InputError(f"layer {self.name} must have samples and one ω and ‖û‖ for each neuron")

    def columns(self, norm: float, failure: float) -> float:
        """Bound max_j‖z_j − z̃_j‖₂ before the activation, if all inputs have norms up to ``norm``."""
        t = math.log(self._count / failure)
        factors = self.widths / 2 * spread(self.scaling) * euclidean_size(self.samples, t)
        return float((factors * norm + self.alignment).max(initial=0.0))

    def rows(self, norm: float, failure: float) -> float:
        """Bound ‖z(x) − z̃(x)‖₂ of every sample x before the activation, if all inputs have norms up to ``norm``."""
        factor = spread(self.scaling) * math.sqrt(math.log(2 * self.samples * self._count / failure) / 2)
        return float(np.linalg.norm(self.widths) * factor * norm + np.linalg.norm(self.alignment))

    @property
    def _count(self) -> float:
        return float(max(len(self.widths), 1) * self.thresholds)


@dataclasses.dataclass(frozen=True, eq=False)
class WalkedBlock:
    """A residual block x ← x + V ρ(Wx + b) + c, and a 1-Lipschitz activation of that or none."""

    inner: WalkedLayer
    outer: WalkedLayer


WalkedNode = WalkedLayer | WalkedBlock


@dataclasses.dataclass(frozen=True)
class Reached:
    """Bounds after a node: on the columns, max_j‖X_j − X̃_j‖₂, and on the rows, max_x‖x − x̃‖₂."""

    columns: float = 0.0
    rows: float = 0.0


def walked_layers(nodes: Sequence[WalkedNode]) -> list[WalkedLayer]:
    """Return all layers from input to output, those inside blocks included."""
    found: list[WalkedLayer] = []
    for node in nodes:
        found.extend((node,) if isinstance(node, WalkedLayer) else (node.inner, node.outer))
    if not found:
        raise InputError("nodes must contain at least one layer, got none")
    return found


def trail(nodes: Sequence[WalkedNode], failure: float, *, measured: bool) -> list[Reached]:
    """Return the bounds after every node, all of which hold at once with probability at least 1 − γ.

    Parameters
    ----------
    nodes : sequence of WalkedLayer or WalkedBlock
        From input to output.
    failure : float
        γ, strictly between 0 and 1.
    measured : bool
        Whether to use R̃ as it was seen during the walk; otherwise R + E, with R of the original activations and E the
        bound on the columns so far.
    """
    check_failure(failure)
    share = failure / (EVENTS * len(walked_layers(nodes)))

    def after(layer: WalkedLayer, before: Reached) -> Reached:
        norm = layer.seen if measured else layer.original + before.columns
        grown = layer.columns(norm, share), layer.rows(norm, share)
        return Reached(layer.lipschitz * grown[0], layer.lipschitz * grown[1])

    found, now = [], Reached()
    for node in nodes:
        if isinstance(node, WalkedLayer):
            now = after(node, now)
        else:
            branch = after(node.outer, after(node.inner, now))
            now = Reached(now.columns + branch.columns, now.rows + branch.rows)
        found.append(now)
    return found


def resolution(nodes: Sequence[WalkedNode]) -> float:
    """Return what rounding of all layers' outputs may come to at the output: smaller bounds say nothing there."""

    def after(layer: WalkedLayer, before: float) -> float:
        return layer.lipschitz * (layer.norm * before + layer.rounding)

    now = 0.0
    for node in nodes:
        if isinstance(node, WalkedLayer):
            now = after(node, now)
        else:
            now += after(node.outer, after(node.inner, now))
    return now


def joint_bounds(nodes: Sequence[WalkedNode], failure: float) -> tuple[ProbabilisticBound, ProbabilisticBound]:
    """Bound max_x‖f(x) − f_Q(x)‖ over the samples x that the walks saw: from original norms, and from norms seen.

    Parameters
    ----------
    nodes : sequence of WalkedLayer or WalkedBlock
        From input to output.
    failure : float
        γ: what all layers together may fail with.

    Returns
    -------
    tuple of ProbabilisticBound
        The second is never larger where it and the first hold; neither is a statement about other inputs.
    """
    layers = walked_layers(nodes)
    checked = tuple(together(one.name, f"layer {one.name}", one.hypotheses) for one in layers)
    failing = tuple(one for one in checked if not one.met)
    hypotheses = failing or (_all_met(layers),)
    finest = resolution(nodes)
    rows = (
        r"e\le L\Bigl(\|\omega\|_2\tfrac C{\sqrt{2C-1}}\sqrt{\tfrac12\log\tfrac{4\Lambda mn}\gamma}"
        r"\cdot\rho+\|\hat U\|_F\Bigr)"
    )
    columns = (
        r"E_i=L_i\max_j\Bigl(\tfrac{\omega_j}2\tfrac C{\sqrt{2C-1}}\sqrt{m+2\sqrt{mt}+2t}\,"
        r"(R_i+E_{i-1})+\|\hat u_j\|_2\Bigr)"
    )
    block = r",\quad\text{blocks add }(E,e)" if any(isinstance(node, WalkedBlock) for node in nodes) else ""
    found = []
    for measured, slug, title, norm, more in (
        (False, "original", "norms of the original activations", r"R_n+E_{n-1}", rf"{columns},\;"),
        (True, "seen", "norms seen along the way", r"\max_t\|\tilde X_t\|_2", ""),
    ):
        reached = trail(nodes, failure, measured=measured)
        numbers = [rf"(E_{i},e_{i})=({number_tex(r.columns)},{number_tex(r.rows)})" for i, r in enumerate(reached, 1)]
        found.append(
            probabilistic_bound(
                f"path-joint-{slug}",
                f"Through all {len(layers)} walks at once, {title}, probability {1 - failure:.4g}",
                reached[-1].rows,
                (*hypotheses, _resolved(reached[-1].rows, finest)),
                1 - failure,
                reference="proved in our docs: full-network",
                text="full-network",
                formula=rf"\max_x\|f(x)-f_Q(x)\|_2\le e_n,\quad {more}{rows},\;\rho={norm}{block}",
                substituted=r",\; ".join(numbers) + rf"\quad e_{{{len(reached)}}}",
            )
        )
    first, second = found
    return first, second


def _resolved(value: float, finest: float) -> Hypothesis:
    """Require a bound that is above what the walks, which looked at rounded activations, could see at all."""
    return condition(
        "rounding",
        "the bound is above the rounding of the forward pass",
        value >= finest,
        f"the bound {value:.3g} is below what rounding in the forward pass may do, about {finest:.3g}",
        f"the bound is above the rounding of the forward pass, about {finest:.2g}",
    )


def _all_met(layers: Sequence[WalkedLayer]) -> Hypothesis:
    """Tell what is so in all layers once, in place of layer by layer."""
    needs = {one.name: one.needs for layer in layers for one in layer.hypotheses}
    needs |= {"unbiased": "T is unbiased and within its M", "scaling": "C ≥ 1"}
    told = "; ".join(needs.values())
    return Hypothesis("layers", f"in every layer: {told}", f"in all {len(layers)} layers: {told}", True)
