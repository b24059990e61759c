"""The joint step as it is run: with the safeguard it always goes down; as published it does not."""

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.methods.geta.flat import FlatParameters, Units
from sdqviz.methods.geta.qasso import Qasso
from sdqviz.networks.learned_quantizer import LearnedQuantizer, quantize_weight

GETA = sq.METHODS["geta"]
TAU = 0.1


class Trials:
    """An optimizer that is put anew into a random joint step: three layers, the first two with a common group."""

    def __init__(self, safeguard: bool, dtype: torch.dtype, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.choice = GETA(
            optimizer="sgd", momentum=0.0, rate=1e-3, quantizer_rate=0.0, bits_low=2, bits_high=8, bit_reduction=0,
            warm_up_steps=0, projection_steps=1, projection_periods=1, joint_steps=40, pruning_periods=1,
            safeguard=safeguard, tau=TAU,
        )  # fmt: skip
        self.module = nn.Sequential(nn.Linear(7, 6), nn.Linear(3, 6, bias=False), nn.Linear(5, 4)).to(dtype)
        for part in self.module:
            quantize_weight(part, LearnedQuantizer.for_weight(part.weight, 8).to(dtype))
        self.flat = FlatParameters(self.module)
        self.units = self.table()
        self.optimizer = Qasso(self.flat, self.units, self.choice.plan, self.choice, 4, [5, 3])

    def table(self) -> Units:
        entries, unit, quantizer = [], [], []
        rows = [("0.weight", 0, 0), ("0.bias", 0, -1), ("1.weight", 0, 1), ("2.weight", 6, 2), ("2.bias", 6, -1)]
        for name, first, which in rows:
            begin, shape = self.flat.places[name]
            places = (begin + torch.arange(shape.numel())).view(shape[0], -1)
            entries.append(places.reshape(-1))
            unit.append((first + torch.arange(shape[0]))[:, None].expand_as(places).reshape(-1))
            quantizer.append(torch.full((shape.numel(),), which))
        group = torch.tensor([0] * 6 + [1] * 4)
        return Units(torch.cat(entries), torch.cat(unit), torch.cat(quantizer), group, (0, 1))

    def run(self) -> tuple[float, list[tuple[float, float]]]:
        """Take one random step; return α and, for each group, ⟨g, step⟩ and ‖g‖² over its redundant units."""
        rng, flat, optimizer = self.rng, self.flat, self.optimizer
        count, quantizers = flat.ordinary, len(flat.quantizers)
        values = rng.standard_normal(count) * 10 ** rng.uniform(-2, 0.5, count if rng.random() < 0.5 else 1)
        reach, exponent = 10 ** rng.uniform(-1.5, 0.5, quantizers), rng.choice([1.0, 0.8, 1.3], quantizers)
        step = reach**exponent / (2 ** (rng.uniform(2, 8, quantizers) - 1) - 1)
        slopes = rng.standard_normal(count) * 10 ** rng.uniform(-3, 1)
        if rng.random() < 0.4:  # slopes that lean against the weights, or along them
            slopes += rng.choice([-3, -1, 1]) * values * np.linalg.norm(slopes) / np.linalg.norm(values)
        marked = torch.zeros(10, dtype=torch.bool)
        marked[rng.choice(6, rng.integers(1, 4), replace=False)] = True
        marked[6 + rng.choice(4, rng.integers(1, 3), replace=False)] = True
        object.__setattr__(self.choice, "rate", float(10 ** rng.uniform(-5, -1)))
        together = torch.tensor(np.concatenate([values, step, reach, exponent]), dtype=flat.values.dtype)
        optimizer.restore(
            {
                "values": together, "first": torch.zeros_like(together), "redundant": marked,
                "zero": torch.zeros_like(marked), "taken": int(rng.integers(2, 40)), "ascents": 0,
            }
        )  # fmt: skip
        flat.gradients.zero_()
        flat.gradients[:count] = torch.tensor(slopes, dtype=flat.values.dtype)
        before = flat.values.clone()
        optimizer.step()
        found = []
        for group in (0, 1):
            chosen = self.units.entries[marked[self.units.unit] & (self.units.group[self.units.unit] == group)]
            moved, slope = (flat.values[chosen] - before[chosen]).double(), flat.gradients[chosen].double()
            found.append((float(moved @ slope), float(slope @ slope)))
        return self.choice.rate, found


def violations(trials: Trials, count: int, allowed: float) -> tuple[int, int, int]:
    """Return over some steps: ⟨g, step⟩ above −τα‖g‖², above zero, and ascents counted by the optimizer itself."""
    broken = ascending = counted = 0
    for _ in range(count):
        rate, found = trials.run()
        broken += any(moved > -(TAU - allowed) * rate * square for moved, square in found)
        ascending += any(moved > 0 for moved, _ in found)
        counted += trials.optimizer.ascents
    return broken, ascending, counted


def test_safeguarded_step_always_descends():
    assert violations(Trials(True, torch.float64, 1), 500, 1e-9) == (0, 0, 0)


def test_published_step_ascends_now_and_then_and_that_is_counted():
    _, ascending, counted = violations(Trials(False, torch.float64, 2), 500, 0.0)
    assert 5 < ascending == counted < 250


@pytest.mark.slow
def test_safeguarded_step_always_descends_in_many_trials():
    assert violations(Trials(True, torch.float64, 3), 20_000, 1e-9) == (0, 0, 0)


@pytest.mark.slow
def test_published_step_in_many_trials(record_property):
    _, ascending, counted = violations(Trials(False, torch.float64, 4), 20_000, 0.0)
    record_property("ascents of the published rule in 20,000 random steps", ascending)
    assert 200 < ascending == counted < 10_000


def test_counterexample_is_an_ascent_of_the_step_as_run():
    # x = (1, .3), g = (−.2, 1), d = .1 before and 1 after, α = 1e-3; γ = 1/2 in the last step but one of a period
    for safeguard, down in ((False, False), (True, True)):
        choice = GETA(
            optimizer="sgd", momentum=0.0, rate=1e-3, quantizer_rate=0.0, bits_low=2, bits_high=16, bit_reduction=0,
            warm_up_steps=0, projection_steps=1, projection_periods=1, joint_steps=9, pruning_periods=1,
            safeguard=safeguard, tau=TAU,
        )  # fmt: skip
        module = nn.Sequential(nn.Linear(1, 3, bias=False)).double()
        quantize_weight(module[0], LearnedQuantizer(1.0, 8).double())
        flat = FlatParameters(module)
        units = Units(torch.arange(3), torch.arange(3), torch.zeros(3, dtype=torch.int64), torch.zeros(3).long(), (0,))
        optimizer = Qasso(flat, units, choice.plan, choice, 2, [2])
        values = torch.tensor([1.0, 0.3, 0.7, 0.1, 1.0, 1.0], dtype=torch.float64)
        redundant = torch.tensor([True, True, False])
        optimizer.restore(
            {
                "values": values, "first": torch.zeros(6).double(), "redundant": redundant, "zero": ~redundant & False,
                "taken": 8, "ascents": 0,
            }
        )  # fmt: skip
        flat.gradients[:3] = torch.tensor([-0.2, 1.0, 0.0])
        optimizer.step()
        moved = flat.values[:2] - values[:2]
        assert module[0].weight_quantizer.step.item() == 1.0
        assert (float(moved @ flat.gradients[:2]) < 0) == down
        assert optimizer.ascents == (not down)
