"""Neurons of a layer walked in blocks that need not be in this process: each block depends on no other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.methods.calibrated.group_work import GroupWork
from sdqviz.methods.calibrated.plan import Plan
from sdqviz.methods.calibrated.scale import Scale
from sdqviz.path_following.walk import Walk
from sdqviz.progress import ShouldStop
from sdqviz.quantizers.quantizer import Grid, QuantizerChoice

Work = Callable[[GroupWork], Any]
"""What is done with some neurons; it can be sent to another process, and its result back."""

NOTHING = np.zeros((0, 0))

TILE = 16
"""Neurons of a block are a multiple of this, but for the last."""


@dataclasses.dataclass(frozen=True, eq=False)
class Shared:
    """What every block of a group needs whole: the largest part, sent once to every worker.

    Attributes
    ----------
    feedback : ndarray, shape (N, N)
        What the walk feeds errors back by.
    inputs, cross : ndarray, and ndarray or None, shape (N, N)
        H and G.
    """

    feedback: Array
    inputs: Array
    cross: Array | None

    @classmethod
    def of(cls, group: GroupWork) -> Shared:
        """Return what all neurons of a group share."""
        return cls(group.start.feedback, group.gram.inputs, group.gram.cross)

    def same(self, other: Any) -> bool:
        """Whether the matrices are the same objects."""
        return isinstance(other, Shared) and all(
            mine is theirs for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True)
        )

    def without(self, group: GroupWork) -> GroupWork:
        """Return some neurons' own part, without what is shared, to be sent."""
        gram = dataclasses.replace(group.gram, inputs=NOTHING, cross=None, kept={})
        moments = dataclasses.replace(group.moments, inputs=NOTHING, cross=None, kept={})
        return dataclasses.replace(
            group, gram=gram, moments=moments, start=dataclasses.replace(group.start, feedback=NOTHING)
        )

    def with_own(self, group: GroupWork) -> GroupWork:
        """Invert `without`, but for what only the whole layer needs."""
        gram = dataclasses.replace(group.gram, inputs=self.inputs, cross=self.cross)
        return dataclasses.replace(group, gram=gram, start=dataclasses.replace(group.start, feedback=self.feedback))


@dataclasses.dataclass(frozen=True, eq=False)
class Walked:
    """Walks some neurons with their alphabets.

    Attributes
    ----------
    plan : Plan
        The method's.
    operator : QuantizerChoice
        T.
    grid : Grid
        Of these neurons.
    """

    plan: Plan
    operator: QuantizerChoice
    grid: Grid

    def __call__(self, group: GroupWork, should_stop: ShouldStop | None = None) -> Walk:
        """Return what their walk left behind."""
        return group.walk(self.plan, self.operator, self.grid, group.keys, should_stop)


@dataclasses.dataclass(frozen=True, eq=False)
class Tried:
    """Walks some neurons with each multiple of their steps, which ride together as further neurons.

    Attributes
    ----------
    plan : Plan
        The method's.
    scale : Scale
        Of these neurons.
    factors : ndarray
        The multiples.
    """

    plan: Plan
    scale: Scale
    factors: Array

    def __call__(self, group: GroupWork, should_stop: ShouldStop | None = None) -> Array:
        """Return ‖Xw − X̃q‖² for each multiple and neuron."""
        return self.of(group, np.arange(group.weights.shape[1]), should_stop)

    def of(
        self, group: GroupWork, neurons: Index, should_stop: ShouldStop | None, into: Array | None = None
    ) -> Array:  # fmt: skip
        """Return the same for some of a group's neurons, whose scale this is; ``into`` as for a trial."""
        count, every = len(self.factors), np.arange(len(neurons))
        tried = self.scale.some(np.tile(every, count)).times(np.repeat(self.factors, len(every)))
        errors = group.trial(self.plan, tried.grid(self.plan.endless), np.tile(neurons, count), should_stop, into)
        return errors.reshape(count, -1)


def joined(walks: Sequence[Walk]) -> Walk:
    """Return the walk of all neurons from those of blocks of them."""
    return Walk(
        np.concatenate([walk.quantized for walk in walks], axis=1),
        np.concatenate([walk.error for walk in walks], axis=1),
        np.concatenate([walk.overload for walk in walks]),
        np.concatenate([walk.missed for walk in walks]),
    )


def divided(count: int, blocks: int) -> list[slice]:
    """Return slices of so many neurons in about so many blocks of whole tiles."""
    size = max(TILE, -(-count // max(blocks, 1) // TILE) * TILE)
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
