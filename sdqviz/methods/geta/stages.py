"""The plan of a run: which stage and period each step belongs to, and how many units each period takes away."""

from __future__ import annotations

import dataclasses
import math

from sdqviz.error import InputError
from sdqviz.methods.geta.recording import Stage

WARM_UP, PROJECTION, JOINT, COOL_DOWN = "warm-up", "projection", "joint", "cool-down"


@dataclasses.dataclass(frozen=True)
class Plan:
    """Steps of the four stages and their periods.

    Attributes
    ----------
    warm_up, projection, joint, cool_down : int
        Steps of each stage.
    projection_periods, pruning_periods : int
        B and P: periods of the projection and of the joint stage; they differ by one step at most.
    """

    warm_up: int
    projection: int
    joint: int
    cool_down: int
    projection_periods: int
    pruning_periods: int

    def __post_init__(self) -> None:
        """Refuse a stage that is shorter than its periods.

        Raises
        ------
        InputError
            Naming the stage.
        """
        if self.projection < self.projection_periods:
            raise InputError(
                f"projection_steps must be at least projection_periods, {self.projection_periods}, "
                f"got {self.projection}: every period needs a step"
            )
        if self.joint < self.pruning_periods:
            raise InputError(
                f"joint_steps must be at least pruning_periods, {self.pruning_periods}, got {self.joint}: "
                "every period needs a step"
            )

    @property
    def steps(self) -> int:
        """All steps."""
        return self.warm_up + self.projection + self.joint + self.cool_down

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The four stages with the steps they span."""
        names = (WARM_UP, PROJECTION, JOINT, COOL_DOWN)
        ends = [0]
        for length in (self.warm_up, self.projection, self.joint, self.cool_down):
            ends.append(ends[-1] + length)
        return tuple(Stage(name, first, last) for name, first, last in zip(names, ends, ends[1:], strict=False))

    def stage(self, step: int) -> str:
        """Return the stage of a step, counted from 0; the last one for a step beyond the end."""
        return next((stage.name for stage in self.stages if step < stage.last), COOL_DOWN)

    def projections_done(self, step: int) -> int:
        """Return how many periods of the projection are over before a step."""
        into = min(max(step - self.warm_up, 0), self.projection)
        return sum(into >= end for end in _ends(self.projection, self.projection_periods))

    def period(self, step: int) -> tuple[int, int, int]:
        """Return (p, k, K_p) of a joint step: its period, its place there from 0, and the period's length."""
        into = step - self.warm_up - self.projection
        ends = _ends(self.joint, self.pruning_periods)
        place = next(index for index, end in enumerate(ends) if into < end)
        begin = ends[place - 1] if place else 0
        return place, into - begin, ends[place] - begin

    def target(self, period: int, units: int) -> int:
        """Return how many of the ``units`` that are to go are marked by the end of a period's choice."""
        return units * (period + 1) // self.pruning_periods

    def rate_share(self, step: int) -> float:
        """Return the share of the learning rate at a step: 1, and in the cool-down falling along half a cosine."""
        into = step - (self.steps - self.cool_down)
        return 1.0 if into < 0 else (1 + math.cos(math.pi * into / self.cool_down)) / 2


def _ends(steps: int, periods: int) -> list[int]:
    """Return the ends of equal periods of some steps; lengths differ by one at most."""
    return [steps * (index + 1) // periods for index in range(periods)]


def redundant_counts(sparsity: float, units: list[int], scope: str = "network") -> tuple[int, list[int]]:
    """Return K, the number of units to remove in all, and the most that each group may lose of them.

    Parameters
    ----------
    sparsity : float
        Share of all units that is to go, strictly between 0 and 1.
    units : list of int
        Units of each prunable group; one of each must stay.
    scope : str
        "network": any units may go; "group": each group loses the share, rounded.

    Raises
    ------
    InputError
        If there is nothing to prune, or the share takes none, or would leave a group without a unit.

    Examples
    --------
    >>> redundant_counts(0.5, [6, 16, 120]), redundant_counts(0.5, [6, 16, 120], "group")
    ((71, [5, 15, 119]), (71, [3, 8, 60]))
    """
    if not 0 < sparsity < 1:
        raise InputError(f"sparsity must be strictly between 0 and 1, got {sparsity:g}")
    total, most = sum(units), [count - 1 for count in units]
    if sum(most) <= 0:
        raise InputError(f"network must have channels that can be removed, got none in {len(units)} groups")
    if scope == "group":
        most = [min(limit, round(sparsity * count)) for limit, count in zip(most, units, strict=True)]
    count = sum(most) if scope == "group" else round(sparsity * total)
    if count == 0:
        raise InputError(f"sparsity must take at least one of the {total} units, got {sparsity:g}")
    if count > sum(most):
        raise InputError(
            f"sparsity must be at most {math.floor(1000 * sum(most) / total) / 1000:g}, "
            f"so that each of the {len(units)} groups keeps a unit, got {sparsity:g}"
        )
    return count, most
