"""What is shown of a run while it goes on: a recording that grows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from sdqviz.methods.geta.flat import INPUT, WEIGHT
from sdqviz.methods.geta.recording import Moment, Recording, moment_of
from sdqviz.methods.geta.run import Run
from sdqviz.networks import cost
from sdqviz.networks.forward import main_tensor
from sdqviz.progress import ShouldStop, stop_if
from sdqviz.version import __version__

MOMENTS = 150
"""About how many steps are recorded."""

TESTED_EVERY = 10
"""Every so many recorded steps the network is tested, and at the end of each stage."""

TESTED = 2000
"""Test inputs that it is tested on, the first ones."""

TEST_BATCH = 250


class Watch:
    """Looks at a run without changing it.

    Parameters
    ----------
    run : Run
        What is looked at.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._macs = cost.count(run.network)
        self._dense = cost.bops(self._macs, {}, {})
        self._every = max(1, math.ceil(run.plan.steps / MOMENTS))
        self._ends = {stage.last for stage in run.plan.stages}
        self.moments: list[Moment] = []

    def due(self, taken: int) -> bool:
        """Return whether the state after so many steps is recorded; once only."""
        wanted = taken % self._every == 0 or taken in self._ends
        return wanted and (not self.moments or self.moments[-1].step < taken)

    def look(self, should_stop: ShouldStop | None = None) -> Recording:
        """Record the state as it is, and return everything so far."""
        run, optimizer = self._run, self._run.optimizer
        if not self.moments or self.moments[-1].step < optimizer.taken:
            tested = len(self.moments) % TESTED_EVERY == 0 or optimizer.taken in self._ends
            bits = run.bits()
            units = len(optimizer.redundant)
            zero = run.zero_units()
            self.moments.append(
                Moment(
                    step=optimizer.taken,
                    stage=run.plan.stage(max(optimizer.taken - 1, 0)),
                    loss=run.loss,
                    accuracy=self._accuracy(should_stop) if tested else None,
                    redundant=int(optimizer.redundant.sum()) / units,
                    zero=int(zero.sum()) / units,
                    relative_bops=self._relative_bops(bits, optimizer.units.by_group(zero)),
                    weight_bits=_of(bits, WEIGHT),
                    activation_bits=_of(bits, INPUT),
                    ascents=optimizer.ascents,
                )
            )
        return self.recording()

    def recording(self) -> Recording:
        """Return everything so far."""
        run = self._run
        removed = run.optimizer.units.by_group(run.zero_units())
        return Recording(
            network=dict(run.network.choice) or {"name": run.network.name},
            method=run.choice.to_dict(),
            seed=run.seed,
            stages=run.plan.stages,
            vertices=run.graph.drawn(removed),
            edges=run.graph.edges,
            groups=run.graph.outlines(removed),
            moments=tuple(self.moments),
            seconds=run.seconds,
            version=__version__,
        )

    def to_list(self) -> list[dict[str, Any]]:
        """Return the moments as plain JSON types; `restore` inverts it."""
        return [dataclasses.asdict(moment) for moment in self.moments]

    def restore(self, moments: list[dict[str, Any]]) -> None:
        """Take over the moments of a run that was stopped."""
        self.moments = [moment_of(moment) for moment in moments]

    def _accuracy(self, should_stop: ShouldStop | None) -> float:
        inputs, labels = self._run.data.test(min(TESTED, self._run.data.test_size))
        right = 0
        with torch.no_grad():
            for start in range(0, len(inputs), TEST_BATCH):
                stop_if(should_stop)
                batch = torch.from_numpy(inputs[start : start + TEST_BATCH].copy())
                found = main_tensor(self._run.module(batch)).argmax(1).numpy()
                right += int((found == labels[start : start + TEST_BATCH]).sum())
        return right / len(inputs)

    def _relative_bops(self, bits: Mapping[str, float], removed: Mapping[int, tuple[int, ...]]) -> float:
        """Return the BOPs of the network without its zero units over those of the original in 32 × 32 bits."""
        shares = {name: 1.0 for name in self._macs.layers}
        for place, units in removed.items():
            for dependency in self._run.graph.groups[place].dependencies:
                layer, _, last = dependency.parameter.rpartition(".")
                if last == "weight" and layer in shares:
                    size = self._run.flat.places[dependency.parameter][1][dependency.dim]
                    shares[layer] *= 1 - int(np.isin(dependency.unit, units).sum()) / size
        left = cost.Macs({name: macs * shares[name] for name, macs in self._macs.layers.items()}, self._macs.products)
        return cost.bops(left, _of(bits, WEIGHT), _of(bits, INPUT)) / self._dense


def _of(bits: Mapping[str, float], which: str) -> dict[str, float]:
    """Return the bits of the layers' weights, or of their inputs, by layer."""
    return {path.removesuffix(which).rstrip("."): value for path, value in bits.items() if path.endswith(which)}
