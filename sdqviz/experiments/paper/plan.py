"""What the tables and figures hold: which network, which N, one line for each rule or step; and the printed numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from sdqviz.compression.question import Question
from sdqviz.error import InputError
from sdqviz.methods import METHODS
from sdqviz.networks.catalogue import NETWORKS
from sdqviz.quantizers.alphabet import MAXIMUM_BITS

SOURCE = "Czaja & Na, arXiv 2404.08131"
FNN, RESIDUAL = "mnist-fnn", "mnist-residual"
RULES = ("norm-global", "norm-layer", "range-layer", "range-column")
ONE_BIT_SIZES = (1000, 2000, 3000, 4000, 5000, 6000, 7000)
GRID_SIZES = (256, 320, 384, 448, 512)
FIGURE_SIZES = (320, 384, 448, 512, 640, 768, 896, 1024)
STEPS = (1.0, 0.5, 0.25, 0.125, 0.0625)

PUBLISHED: Mapping[str, Mapping[int, tuple[float, float]]] = {
    "table3": dict(
        zip(
            ONE_BIT_SIZES,
            [(36.18, 7.65), (74.09, 4.71), (88.47, 1.82), (94.62, 0.44), (96.04, 0.82), (96.83, 0.36), (97.29, 0.25)],
            strict=True,
        )
    ),
    "table4": dict(
        zip(
            ONE_BIT_SIZES,
            [(14.12, 2.52), (31.52, 6.56), (66.93, 5.69), (86.47, 4.04), (92.88, 1.44), (95.28, 0.64), (96.30, 0.50)],
            strict=True,
        )
    ),
}
"""Mean accuracy and standard deviation in percent over 10 networks, as printed."""

PUBLISHED_NETS = 10

TRAINING = 40.0
"""Seconds one training run takes, roughly: beside the weights of the cells it makes the estimate of the time left."""

LEFT_OPEN = (
    "The paper does not print the widths or the training: ours are 784-256-256-10 without biases (for the residual "
    "network two blocks of width 256 between an input and an output layer) and the recipe of `sdqviz train`.",
)
STEP_OPEN = (
    "Nor is the step printed: the paper's rule is taken, for each network, at the smallest δ its condition (9) allows, "
    "2·max‖w_j‖ over all columns of all layers.",
)
GRID_OPEN = (
    "The steps δ are our choice: the paper's are not known to us.",
    "The levels are 2K, the smallest power of two with (K−½)δ ≥ max‖w_j‖, so that no value overloads.",
)
UNKNOWN = ("The accuracies of the published table are not known to us either, so nothing stands beside ours.",)


@dataclasses.dataclass(frozen=True)
class Cell:
    """One network compressed once and tested on all test images.

    Attributes
    ----------
    network : str
        Name in the catalogue.
    seed : int
        Which training run.
    size : int
        N, the same in every layer.
    rule : str or None
        Step rule at 1 bit; None where ``step`` is given.
    step : float or None
        δ by hand, with as many bits as stability needs.
    """

    network: str
    seed: int
    size: int
    rule: str | None
    step: float | None

    @property
    def line(self) -> str:
        """The rule or the step, as people read it."""
        return f"δ={self.step:g}" if self.rule is None else self.rule

    def question(self, norm: float) -> Question:
        """Return what is asked of a network whose columns of weights have norms up to ``norm``.

        Raises
        ------
        InputError
            If the step takes more than 16 bits.
        """
        by_rule = {"bits": 1, "step_rule": self.rule}
        how = by_rule if self.step is None else {"bits": bits_needed(norm, self.step), "step": self.step}
        method = METHODS.from_dict({"name": "frame", "frame": "harmonic", "size": self.size, **how})
        return Question(NETWORKS[self.network](seed=self.seed), method, 0, label=f"N={self.size}, {self.line}")

    @property
    def weight(self) -> float:
        """Seconds the cell takes, roughly: the estimate of the time left needs only their ratios."""
        return 0.4 + self.size / 5000


@dataclasses.dataclass(frozen=True)
class Target:
    """A table or a figure: which network, which N, and one line for each rule or step."""

    name: str
    title: str
    network: str
    sizes: tuple[int, ...]
    rules: tuple[str, ...] = ()
    steps: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[tuple[str | None, float | None], ...]:
        """Rule and step of each line."""
        return tuple((rule, None) for rule in self.rules) + tuple((None, step) for step in self.steps)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to recompute, over how many networks."""

    targets: tuple[Target, ...]
    nets: int

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All cells, each once, network by network."""
        cells = {
            Cell(target.network, seed, size, rule, step)
            for target in self.targets
            for rule, step in target.lines
            for size in target.sizes
            for seed in range(self.nets)
        }
        return tuple(sorted(cells, key=lambda c: (c.network, c.seed, c.size, c.rule or "", -(c.step or 0.0))))


_GRID_NOTES = LEFT_OPEN + GRID_OPEN
_CATALOGUE = {
    target.name: target
    for target in (
        Target("table1", "Table 1: accuracy, 3 layers", FNN, GRID_SIZES, (), STEPS, _GRID_NOTES + UNKNOWN),
        Target(
            "table2", "Table 2: accuracy, 2 residual blocks", RESIDUAL, GRID_SIZES, (), STEPS, _GRID_NOTES + UNKNOWN
        ),
        Target("table3", "Table 3: accuracy at 1 bit, 3 layers", FNN, ONE_BIT_SIZES, RULES, (), LEFT_OPEN + STEP_OPEN),
        Target(
            "table4",
            "Table 4: accuracy at 1 bit, 2 residual blocks",
            RESIDUAL,
            ONE_BIT_SIZES,
            RULES,
            (),
            LEFT_OPEN + STEP_OPEN,
        ),
        Target("figure1", "Figure 1: max‖f(x)−f_Q(x)‖ over the test images", FNN, FIGURE_SIZES, (), STEPS, _GRID_NOTES),
        Target("figure2", "Figure 2: log(mean error) − log δ + log N", FNN, FIGURE_SIZES, (), STEPS, _GRID_NOTES),
    )
}
NAMES = tuple(_CATALOGUE)


def plan(
    what: str = "all", *, nets: int = 3, sizes: Sequence[int] | None = None, steps: Sequence[float] | None = None
) -> Plan:
    """Choose what to recompute.

    Parameters
    ----------
    what : str
        ``table1`` … ``table4``, ``figure1``, ``figure2`` or ``all``.
    nets : int
        Networks, seeds 0 … nets−1; 0, 1 and 2 are shipped, others are trained when first needed.
    sizes : sequence of int, optional
        N in place of the usual ones.
    steps : sequence of float, optional
        δ in place of the usual ones, for tables 1 and 2 and the figures.

    Raises
    ------
    InputError
        If a name is unknown or a number is not positive.
    """
    if what != "all" and what not in _CATALOGUE:
        raise InputError(f"what to reproduce must be one of {', '.join(NAMES)} or all, got {what!r}")
    if nets < 1:
        raise InputError(f"nets must be at least 1, got {nets}")
    for name, values in (("sizes", sizes), ("steps", steps)):
        if values is not None and not all(math.isfinite(value) and value > 0 for value in values):
            raise InputError(f"{name} must be positive, got {', '.join(f'{value:g}' for value in values)}")
    chosen = _CATALOGUE.values() if what == "all" else [_CATALOGUE[what]]
    targets = []
    for target in chosen:
        changes: dict[str, Any] = {} if sizes is None else {"sizes": tuple(sorted(set(sizes)))}
        if steps is not None and target.steps:
            changes["steps"] = tuple(sorted(set(steps), reverse=True))
        targets.append(dataclasses.replace(target, **changes))
    return Plan(tuple(targets), nets)


def bits_needed(norm: float, step: float) -> int:
    """Return the fewest bits with (K−½)δ ≥ ``norm``, K = 2^(bits−1): then no value overloads.

    Raises
    ------
    InputError
        If that takes more than 16 bits.

    Examples
    --------
    >>> bits_needed(0.5, 1.0), bits_needed(0.51, 1.0), bits_needed(1.5, 1.0), bits_needed(1.51, 1.0)
    (1, 2, 2, 3)
    """
    for bits in range(1, MAXIMUM_BITS + 1):
        if (2 ** (bits - 1) - 0.5) * step >= norm:
            return bits
    raise InputError(f"step must be at least {norm / (2 ** (MAXIMUM_BITS - 1) - 0.5):.3g} for 16 bits, got {step:g}")
