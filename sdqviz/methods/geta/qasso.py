"""QASSO: the optimizer that takes units away while it learns how many bits each layer needs."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sdqviz.methods.geta.flat import INPUT, FlatParameters, Units
from sdqviz.methods.geta.saliency import Sums, least_salient, saliency
from sdqviz.methods.geta.stages import COOL_DOWN, JOINT, PROJECTION, Plan
from sdqviz.networks.learned_quantizer import FINEST_BITS, LEAST_EXPONENT, LEAST_REACH, bits_of, step_of

if TYPE_CHECKING:
    from sdqviz.methods.geta.settings import Settings

ETA = 0.999
"""η of the published rule: how much of the descent the forgetting may use up."""

XI = 0.9
"""ξ of the published rule: how much of that the rounding may use up."""

SHRINK = 0.8
"""Factor on γ, and its inverse on d, while d is below the smallest step allowed."""

DEAD = 1e-8
"""A mean of |clip| below which there is nothing left to forget."""

BETAS = (0.9, 0.999)
EPSILON = 1e-8

SLACK = 1e-6
"""The safeguard stays this share below its limit, so that rounding γ to the network's precision cannot pass it."""


@dataclasses.dataclass(frozen=True)
class GroupSums:
    """What the rule sees of the redundant units of one group.

    Attributes
    ----------
    clip_slope, residual_slope : float
        ⟨clip, g⟩ and ⟨R, g⟩, g being the direction of the plain step.
    clip_norm, residual_norm, slope_norm : float
        ‖clip‖, ‖R‖ and ‖g‖.
    mean_clip : float
        Mean of |clip|.
    """

    clip_slope: float
    residual_slope: float
    clip_norm: float
    residual_norm: float
    slope_norm: float
    mean_clip: float


def published_rule(sums: GroupSums, rate: float, left: int, finest: float, coarsest: float) -> tuple[float, float]:
    """Return (γ, d) for one group, as published.

    Parameters
    ----------
    sums : GroupSums
        Of the group's redundant units.
    rate : float
        α.
    left : int
        K_p − k: steps left in the period, this one included.
    finest, coarsest : float
        Steps d at the most and at the fewest bits allowed.

    Notes
    -----
    γ = 0 where mean|clip| is below 1e-8; 1/(K_p − k) where cos(clip, g) ≥ 0; else −(1−η)α‖g‖/(cos·‖clip‖).
    d is the coarsest step where cos(R, g) ≥ 0 or γ = 0; else −ξηα‖g‖/(γ·cos·‖R‖), and while that is below the finest
    step, γ shrinks by 0.8 and d grows by 1/0.8; d never exceeds the coarsest. A cosine with a zero vector is 0.
    """
    if sums.mean_clip < DEAD:
        gamma = 0.0
    elif sums.clip_slope >= 0 or sums.slope_norm == 0:
        gamma = 1 / left
    else:  # cos·‖clip‖ = ⟨clip, g⟩/‖g‖
        gamma = (1 - ETA) * rate * sums.slope_norm**2 / -sums.clip_slope
    if gamma == 0 or sums.residual_slope >= 0 or sums.residual_norm == 0 or sums.slope_norm == 0:
        return gamma, coarsest
    step = XI * ETA * rate * sums.slope_norm**2 / (gamma * -sums.residual_slope)
    while 0 < step < finest:
        gamma *= SHRINK
        step /= SHRINK
    return gamma, min(step, coarsest) if step > 0 else coarsest


def safe_gamma(gamma: float, slope: float, slope_norm: float, rate: float, tau: float) -> float:
    """Return γ lowered so far that x ← x − γx^Q − αg goes down: ⟨g, step⟩ ≤ −τα‖g‖².

    Parameters
    ----------
    gamma : float
        γ of the published rule.
    slope : float
        ⟨g, x^Q⟩, with x^Q rounded by the new step d.
    slope_norm, rate : float
        ‖g‖ and α.
    tau : float
        τ, strictly between 0 and 1.
    """
    if slope >= 0:
        return gamma
    return min(gamma, (1 - SLACK) * (1 - tau) * rate * slope_norm**2 / -slope)


@dataclasses.dataclass(frozen=True)
class _Block:
    """Redundant entries of one group under one quantizer: a stretch of all of them; quantizer -1 for none."""

    slot: int
    quantizer: int
    place: slice


@dataclasses.dataclass(frozen=True, eq=False)
class _Active:
    """The redundant units of this period: their entries in blocks, and the number of groups they are of."""

    entries: Tensor
    blocks: tuple[_Block, ...]
    groups: int

    @classmethod
    def of(cls, units: Units, marked: Tensor) -> _Active:
        chosen = marked[units.unit]
        entries, quantizer = units.entries[chosen], units.quantizer[chosen]
        groups, slot = torch.unique(units.group[units.unit[chosen]], return_inverse=True)
        kind = slot * (int(units.quantizer.max()) + 2) + quantizer + 1
        order = torch.argsort(kind, stable=True)
        _, counts = torch.unique_consecutive(kind[order], return_counts=True)
        ends = torch.cumsum(counts, 0).tolist()
        starts = [0, *ends[:-1]]
        slots, quantizers = slot[order][starts].tolist(), quantizer[order][starts].tolist()
        blocks = (_Block(*row[:2], slice(*row[2:])) for row in zip(slots, quantizers, starts, ends, strict=True))
        return cls(entries[order], tuple(blocks), len(groups))


class Qasso:
    """The optimizer of a run: four stages, marking of redundant units, and the joint step.

    Parameters
    ----------
    flat : FlatParameters
        What is trained.
    units : Units
        What may be removed.
    plan : Plan
        Stages and periods.
    choice : Settings
        Rates, bits and the safeguard.
    count, most : int and list of int
        K, how many units go, and how many of each group may.

    Attributes
    ----------
    taken : int
        Steps taken.
    redundant, zero : Tensor of bool, shape (units,)
        Units marked so far, and those that are zero for good.
    ascents : int
        Joint steps on which the update of some group's redundant units did not go down.
    frozen : Tensor or None, shape (Q,)
        Whole bits of every quantizer, once they are frozen.

    Notes
    -----
    Qu et al., *GETA: Automatic joint structured pruning and quantization for efficient neural network training and
    compression*, arXiv 2502.16638 (CVPR 2025). Where several quantizers act on the units of one group, the rule gives
    one d for all of them, and each keeps it within its own range of bits.
    """

    def __init__(
        self, flat: FlatParameters, units: Units, plan: Plan, choice: Settings, count: int, most: list[int]
    ) -> None:
        self.flat, self.units, self.plan, self.choice = flat, units, plan, choice
        self.count, self.most = count, most
        self.taken = 0
        self.ascents = 0
        self.redundant = torch.zeros(len(units.group), dtype=torch.bool)
        self.zero = torch.zeros_like(self.redundant)
        self.frozen: Tensor | None = None
        self._first = torch.zeros_like(flat.values)
        self._second = torch.zeros_like(flat.values) if choice.optimizer != "sgd" else None
        self._gone = torch.zeros(0, dtype=torch.int64)
        self._active: _Active | None = None
        inputs = torch.tensor([path.rpartition(".")[2] == INPUT for path in flat.quantizers], dtype=torch.bool)
        self._fewest = torch.where(inputs, float(choice.fewest_activation_bits), float(choice.bits_low))

    # -- one step ---------------------------------------------------------------------------------

    @torch.no_grad()
    def step(self) -> None:
        """Take one step with the gradients that lie in ``flat.gradients``."""
        stage = self.plan.stage(self.taken)
        period, place, length = self.plan.period(self.taken) if stage == JOINT else (0, 0, 0)
        if stage == JOINT and place == 0:
            self._mark(period)
        share = self.plan.rate_share(self.taken)
        rate = self.choice.rate * share
        if stage == COOL_DOWN and self.frozen is not None:
            self._tie_steps()
        direction = self._direction()
        flat, active = self.flat, self._active
        before = flat.values.index_select(0, active.entries) if active is not None else None
        flat.values[: flat.ordinary].sub_(direction[: flat.ordinary], alpha=rate)
        flat.values[flat.ordinary :].sub_(direction[flat.ordinary :], alpha=self.choice.quantizer_rate * share)
        self._keep_positive()
        if stage in (PROJECTION, JOINT):
            self._project()
        if active is not None and before is not None:
            self._forget(active, before, direction.index_select(0, active.entries), rate, length - place)
        if stage == COOL_DOWN and self.frozen is not None:
            flat.steps.copy_(step_of(flat.reaches, flat.exponents, self.frozen))
        self.taken += 1
        if stage == JOINT and place == length - 1:
            self._commit()
            if period == self.plan.pruning_periods - 1:
                self._freeze()

    def _direction(self) -> Tensor:
        """Return g, the direction of the plain step of the chosen optimizer; zero where units are gone."""
        choice, gradient = self.choice, self.flat.gradients
        if self._second is None:
            direction = self._first.mul_(choice.momentum).add_(gradient).clone()
        else:
            self._first.lerp_(gradient, 1 - BETAS[0])
            self._second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
            corrections = [1 - beta ** (self.taken + 1) for beta in BETAS]
            scale = self._second.sqrt().div_(corrections[1] ** 0.5).add_(EPSILON)
            direction = (self._first / scale).div_(corrections[0])
        if choice.optimizer == "adamw":
            ordinary = self.flat.ordinary
            direction[:ordinary].add_(self.flat.values[:ordinary], alpha=choice.decay)
        return direction.index_fill_(0, self._gone, 0.0)

    def _tie_steps(self) -> None:
        """With its bits fixed, d = q_m^t/(2^(b−1) − 1) follows q_m and t: their slopes take on what d's passes on."""
        flat = self.flat
        of_step, of_reach, of_exponent = flat.learned(flat.gradients)
        of_reach.addcmul_(of_step, flat.steps * flat.exponents / flat.reaches)
        of_exponent.addcmul_(of_step, flat.steps * flat.reaches.log())

    def _keep_positive(self) -> None:
        """Keep q_m and t above zero, and d above what float32 can resolve: a plain step may pass zero."""
        flat = self.flat
        flat.reaches.clamp_(min=LEAST_REACH)
        flat.exponents.clamp_(min=LEAST_EXPONENT)
        flat.steps.clamp_(min=step_of(flat.reaches, flat.exponents, FINEST_BITS))

    @property
    def most_bits(self) -> Tensor:
        """b_u of every quantizer as it stands: lowered after each period of the projection, never below its b_l."""
        lowered = self.choice.bits_high - self.choice.bit_reduction * self.plan.projections_done(self.taken)
        return self._fewest.clamp_min(lowered)

    def _range(self) -> tuple[Tensor, Tensor]:
        """Return the finest and the coarsest d of every quantizer."""
        flat = self.flat
        finest = step_of(flat.reaches, flat.exponents, self.most_bits)
        return finest, step_of(flat.reaches, flat.exponents, self._fewest)

    def _project(self) -> None:
        """Clamp d, and only d, to the range of bits."""
        finest, coarsest = self._range()
        torch.minimum(torch.maximum(self.flat.steps, finest), coarsest, out=self.flat.steps)

    # -- units that go ------------------------------------------------------------------------------

    def _mark(self, period: int) -> None:
        """Score all units that are left and mark the next least salient as redundant."""
        flat, units = self.flat, self.units
        sums = Sums.of(flat.values[units.entries], flat.gradients[units.entries], units.unit, len(units.group))
        more = self.plan.target(period, self.count) - int(self.redundant.sum())
        free = ~self.redundant
        scores = torch.zeros(len(units.group), dtype=torch.float64)
        kept = Sums(*(getattr(sums, field.name)[free] for field in dataclasses.fields(sums)))
        scores[free] = saliency(kept)
        chosen = least_salient(scores, units.group, free, more, self.most)
        marked = torch.zeros_like(self.redundant)
        marked[chosen] = True
        self.redundant |= marked
        self._active = _Active.of(units, marked) if more else None

    def _commit(self) -> None:
        """Set the redundant units to zero; they stay so."""
        self.zero = self.redundant.clone()
        self._gone = self.units.entries[self.zero[self.units.unit]]
        self.flat.values[self._gone] = 0.0
        self._active = None

    def _freeze(self) -> None:
        """Fix the bits of all quantizers at the nearest whole number within the range."""
        flat = self.flat
        bits = bits_of(flat.steps, flat.reaches, flat.exponents).round()
        self.frozen = bits.clamp(max=self.choice.bits_high).maximum(self._fewest)
        flat.steps.copy_(step_of(flat.reaches, flat.exponents, self.frozen))

    def _forget(self, active: _Active, x: Tensor, g: Tensor, rate: float, left: int) -> None:
        """Take the joint step on the redundant units: x ← x − γx^Q − αg, with d chosen along."""
        flat = self.flat
        clip = x.clone()
        for block in active.blocks:
            if block.quantizer >= 0:
                reach, power = flat.reaches[block.quantizer].item(), flat.exponents[block.quantizer].item()
                part = clip[block.place].clamp_(-reach, reach)
                if power != 1:
                    size = part.abs().clamp_min_(torch.finfo(x.dtype).tiny).log_().mul_(power).exp_()
                    part.copy_(size * part.sign())
        slope = g.double()
        sums = self._sums(active, clip, slope)
        gammas = self._choose_steps(active, sums, rate, left)
        rounded = clip
        slopes = [0.0] * active.groups
        for block in active.blocks:
            part = rounded[block.place]
            if block.quantizer >= 0:
                step = flat.steps[block.quantizer].item()
                part.div_(step).round_().mul_(step)
            slopes[block.slot] += torch.dot(part.double(), slope[block.place]).item()
        ascends = False
        for place, total in enumerate(sums):
            if self.choice.safeguard:
                gammas[place] = safe_gamma(gammas[place], slopes[place], total.slope_norm, rate, self.choice.tau)
            ascends |= -gammas[place] * slopes[place] - rate * total.slope_norm**2 > 0
        self.ascents += ascends
        for block in active.blocks:
            rounded[block.place].mul_(gammas[block.slot])
        flat.values.index_copy_(0, active.entries, (x - rounded).sub_(g, alpha=rate))

    def _sums(self, active: _Active, clip: Tensor, slope: Tensor) -> list[GroupSums]:
        """Add up what the rule needs over the blocks of each group, in float64."""
        rows = [[0.0] * 7 for _ in range(active.groups)]
        for block in active.blocks:
            c, g, row = clip[block.place], slope[block.place], rows[block.slot]
            wide = c.double()
            parts = [torch.dot(wide, g), torch.dot(wide, wide), torch.dot(g, g), wide.abs().sum()]
            if block.quantizer >= 0:  # R is odd in clip: signs come by themselves
                ratio = c / self.flat.steps[block.quantizer]
                residual = (ratio.round() - ratio).double()
                parts += [torch.dot(residual, g), torch.dot(residual, residual)]
            for place, part in enumerate(parts):
                row[place] += part.item()
            row[6] += len(c)
        return [GroupSums(row[0], row[4], row[1] ** 0.5, row[5] ** 0.5, row[2] ** 0.5, row[3] / row[6]) for row in rows]

    def _choose_steps(self, active: _Active, sums: list[GroupSums], rate: float, left: int) -> list[float]:
        """Apply the published rule to each group, set the steps d, and return γ of each group."""
        finest, coarsest = (limit.tolist() for limit in self._range())
        chosen: dict[int, float] = {}
        gammas = []
        for place, total in enumerate(sums):
            own = [block.quantizer for block in active.blocks if block.slot == place and block.quantizer >= 0]
            limits = max((finest[one] for one in own), default=0.0), max((coarsest[one] for one in own), default=1.0)
            gamma, step = published_rule(total, rate, left, *limits)
            gammas.append(gamma)
            for one in own:  # a layer whose channels lie in two groups takes the finer of their steps
                chosen[one] = min(chosen.get(one, coarsest[one]), max(step, finest[one]))
        for one, step in chosen.items():
            self.flat.steps[one] = step
        return gammas

    # -- checkpoints -----------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on, as tensors and plain numbers; `restore` inverts it."""
        found: dict[str, Any] = {
            "values": self.flat.values.clone(),
            "first": self._first.clone(),
            "redundant": self.redundant.clone(),
            "zero": self.zero.clone(),
            "taken": self.taken,
            "ascents": self.ascents,
        }
        if self._second is not None:
            found["second"] = self._second.clone()
        if self.frozen is not None:
            found["frozen"] = self.frozen.clone()
        return found

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state; the steps from there on are the same to the bit."""
        self.flat.values.copy_(state["values"])
        self._first.copy_(state["first"])
        if self._second is not None:
            self._second.copy_(state["second"])
        self.redundant, self.zero = state["redundant"].clone(), state["zero"].clone()
        self.taken, self.ascents = int(state["taken"]), int(state["ascents"])
        self.frozen = state["frozen"].clone() if "frozen" in state else None
        self._gone = self.units.entries[self.zero[self.units.unit]]
        marked = self.redundant & ~self.zero
        self._active = _Active.of(self.units, marked) if bool(marked.any()) else None
