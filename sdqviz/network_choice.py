"""What a catalogue network can be asked for: a choice that builds, trains and loads it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from sdqviz import asset, training
from sdqviz.choice import Choice, field
from sdqviz.dataset import Dataset, mnist
from sdqviz.error import InputError
from sdqviz.progress import Progress, ShouldStop
from sdqviz.training import Recipe

if TYPE_CHECKING:
    from torch import nn

    from sdqviz.network import Network

SHIPPED_SEEDS = (0, 1, 2)
"""Seeds whose trained weights come with the package."""


@dataclasses.dataclass(frozen=True)
class NetworkChoice(Choice):
    """A network trained on MNIST, one of 10,000 by its seed; the first three seeds are shipped."""

    recipe: ClassVar[Recipe]
    """How the network is trained."""

    seed: int = field(
        0,
        label="Network seed",
        help="Which training run: 0, 1 and 2 are shipped, others are trained once and kept.",
        minimum=0,
        maximum=9999,
    )

    def layout(self) -> nn.Module:
        """Return the modules, with weights that need not be set."""
        raise NotImplementedError

    def build(self) -> nn.Module:
        """Return the untrained network; a function of the seed that leaves torch's generators alone."""
        import torch

        with torch.device("meta"):  # no weights are drawn here, hence no global generator is advanced
            module = self.layout()
        module.to_empty(device="cpu")
        _initialise(module, self.seed)
        return module

    def data(self) -> Dataset:
        """Return the data the network is trained on and tested with."""
        return mnist()

    @property
    def shipped(self) -> bool:
        """Whether the trained weights come with the package."""
        return self.seed in SHIPPED_SEEDS

    @property
    def ready(self) -> bool:
        """Whether the trained weights are at hand, so that `load` need not train."""
        return self.shipped or (training.cache_folder() / training.file_name(self)).is_file()

    def load(self, progress: Progress | None = None, should_stop: ShouldStop | None = None) -> Network:
        """Return the trained network: shipped, from the user's cache folder, or trained now and kept there.

        Parameters
        ----------
        progress, should_stop : callable, optional
            Used if the network has to be trained (about half a minute).

        Raises
        ------
        InputError
            If a shipped file is missing or damaged, or the cache folder cannot be written.
        Stopped
            If asked to stop while training.
        """
        name = training.file_name(self)
        if self.shipped:
            file = asset.path(f"networks/{name}")
            module = self._read(file)
            if module is None:
                raise InputError(f"asset networks/{name} must hold the network {self.name}, got other weights")
        else:
            file = training.cache_folder() / name
            module = self._read(file)
            if module is None:  # absent, damaged, or trained by another recipe
                module = self._read(training.train(self, progress, should_stop))
            if module is None:
                raise InputError(f"cache folder must keep what is written, got an unreadable {file}")
        return self.wrap(module)

    def _read(self, file: Path) -> nn.Module | None:
        """Read trained weights; None if the file is absent, damaged or made by another recipe."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        if training.read_record(file).get("recipe") != self.recipe.to_json():
            return None
        module = self.build()
        try:
            module.load_state_dict(load_file(file))
        except (OSError, SafetensorError, RuntimeError):
            return None
        return module.eval()

    def wrap(self, module: nn.Module) -> Network:
        """Return a module of this architecture as a network with its data."""
        import torch

        from sdqviz.network import Network

        data = self.data()
        example = torch.from_numpy(data.test_inputs[:1].copy())
        return Network(module, example, data, name=self.name, seed=self.seed)


def _initialise(module: nn.Module, seed: int) -> None:
    """Draw torch's default initial weights from a generator of our own, safe with other threads about."""
    import math

    import torch
    from torch import nn

    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            bound = 1 / math.sqrt(part.weight[0].numel())
            nn.init.uniform_(part.weight, -bound, bound, generator=generator)
            if part.bias is not None:
                nn.init.uniform_(part.bias, -bound, bound, generator=generator)
        elif isinstance(part, nn.BatchNorm2d):
            part.reset_parameters()
