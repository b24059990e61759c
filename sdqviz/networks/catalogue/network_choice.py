"""What a catalogue network can be asked for: a choice that builds, trains and loads it."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from sdqviz import asset
from sdqviz.choice import Choice, field
from sdqviz.error import InputError
from sdqviz.networks import training
from sdqviz.networks.dataset import Dataset, cifar10, mnist
from sdqviz.networks.training import Recipe
from sdqviz.progress import Progress, ShouldStop

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sdqviz.networks.network import Network

DATA_FOLDER = "SDQVIZ_DATA"
"""Environment variable that names the folder of data sets that are not shipped."""

TOKEN_DEVIATION = 0.02
"""Standard deviation of the initial class token and positions, as in Dosovitskiy et al. (ICLR 2021)."""


CIFAR_EPOCHS = 15
"""Passes over the images of CIFAR-10."""


@dataclasses.dataclass(frozen=True)
class NetworkChoice(Choice):
    """A network trained on MNIST, one of 10,000 by its seed; a few seeds are shipped."""

    recipe: ClassVar[Recipe]
    """How the network is trained on MNIST."""

    shipped_seeds: ClassVar[tuple[int, ...]] = (0, 1, 2)
    """Seeds whose trained weights come with the package, all other fields being at their defaults."""

    training_seconds: ClassVar[float] = 40.0
    """Rough time of ``recipe`` on one core."""

    testing_seconds: ClassVar[float] = 0.0
    """Rough time of passing the 10,000 test images, and the inputs of a measurement, through it on one core; 0 where
    it is below a second."""

    with_data: ClassVar[bool] = True
    """Whether `data` gives any."""

    seed: int = field(
        0,
        label="Network seed",
        help="Which training run: the first (0, of most networks also 1 and 2) are shipped, others are trained once "
        "and kept.",
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
        _give_memory(module)
        _initialise(module, self.seed)
        return module

    def data(self) -> Dataset:
        """Return the data the network is trained on and tested with."""
        return mnist()

    @property
    def own_recipe(self) -> Recipe:
        """How the network of this choice is trained."""
        return self.recipe

    @property
    def estimated_training_seconds(self) -> float:
        """Rough time of training the network of this choice on one core."""
        return self.training_seconds * self.own_recipe.epochs / self.recipe.epochs

    @property
    def variant(self) -> str:
        """The fields, seed apart, that are not at their defaults, as part of a file name; empty if all are."""
        values, defaults = self.to_dict(), self.defaults()
        return "".join(f"-{key}={values[key]}" for key in defaults if key != "seed" and values[key] != defaults[key])

    @property
    def shipped(self) -> bool:
        """Whether the trained weights come with the package."""
        return self.seed in self.shipped_seeds and not self.variant

    @property
    def ready(self) -> bool:
        """Whether the trained weights are at hand, so that `load` need not train."""
        return self.shipped or (training.cache_folder() / training.file_name(self)).is_file()

    def load(self, progress: Progress | None = None, should_stop: ShouldStop | None = None) -> Network:
        """Return the trained network: shipped, from the user's cache folder, or trained now and kept there.

        Parameters
        ----------
        progress, should_stop : callable, optional
            Used if the network has to be trained (see `estimated_training_seconds`).

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

        if training.read_record(file).get("recipe") != self.own_recipe.to_json():
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

        from sdqviz.networks.network import Network

        data = self.data()
        example = torch.from_numpy(data.test_inputs[:1].copy())
        return Network(module, example, data, name=self.name, seed=self.seed, choice=self.to_dict())


@dataclasses.dataclass(frozen=True)
class ImageNetworkChoice(NetworkChoice):
    """A network for MNIST, or for CIFAR-10 where its user has those images."""

    images: str = field(
        "mnist",
        label="Images",
        help="MNIST comes with the program. CIFAR-10 is read, as torchvision stores it, from the folder that the "
        "environment variable SDQVIZ_DATA names; the network is then trained once, which takes up to half an hour.",
        options={"mnist": "MNIST", "cifar10": "CIFAR-10"},
    )

    @property
    def own_recipe(self) -> Recipe:
        """The recipe, with more epochs for CIFAR-10, which is learned more slowly."""
        return self.recipe if self.images == "mnist" else dataclasses.replace(self.recipe, epochs=CIFAR_EPOCHS)

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return 1 if self.images == "mnist" else 3

    @property
    def size(self) -> int:
        """Height and width of an image, in pixels."""
        return 28 if self.images == "mnist" else 32

    def data(self) -> Dataset:
        """Return the images to train on and to test with.

        Raises
        ------
        InputError
            If CIFAR-10 is asked for and not at hand.
        """
        return mnist() if self.images == "mnist" else cifar10(data_folder())


def data_folder() -> Path:
    """Return where data sets that are not shipped are looked for: ``SDQVIZ_DATA`` if set, else the cache folder."""
    own = os.environ.get(DATA_FOLDER)
    return Path(own) if own else training.cache_folder()


def _give_memory(module: nn.Module) -> None:
    """Do what ``to_empty`` does, which goes by way of torch's compiler: to import that takes two seconds."""
    import torch
    from torch import nn

    made: dict[int, Tensor] = {}  # shared tensors stay shared
    for part in module.modules():
        for store in (part._parameters, part._buffers):
            for key, tensor in store.items():
                if tensor is None:
                    continue
                if id(tensor) not in made:
                    empty = torch.empty(tuple(tensor.shape), dtype=tensor.dtype)
                    parameter = isinstance(tensor, nn.Parameter)
                    made[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if parameter else empty
                store[key] = made[id(tensor)]  # type: ignore[assignment]


def _initialise(module: nn.Module, seed: int) -> None:
    """Draw initial weights from a generator of our own, safe with other threads about.

    Layers and normalisations start as torch's own do; parameters a module holds itself (a class token, positions)
    are normal with deviation `TOKEN_DEVIATION`.
    """
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
        elif isinstance(part, nn.BatchNorm2d | nn.LayerNorm):
            part.reset_parameters()  # ones and zeros: nothing is drawn
        else:
            for parameter in part.parameters(recurse=False):
                nn.init.normal_(parameter, std=TOKEN_DEVIATION, generator=generator)
