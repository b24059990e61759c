"""Trains a catalogue network: the same weights for the same seed, resumable after a kill, cancellable."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from sdqviz.error import InputError
from sdqviz.networks.dataset import Dataset
from sdqviz.progress import Progress, ShouldStop, report, stop_if
from sdqviz.strict_json import canonical, read_json
from sdqviz.version import __version__

if TYPE_CHECKING:
    from torch import nn

    from sdqviz.networks.network import Network


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a network is trained: Adam on the cross-entropy, with the rate falling along half a cosine.

    Attributes
    ----------
    epochs : int
        Passes over the training images.
    batch : int
        Images per step; an incomplete last batch is dropped.
    rate : float
        Learning rate of the first step; it falls to 0 at the last.
    decay : float
        Decoupled weight decay (AdamW): each step shrinks the weight matrices by rate·decay; biases
        and normalisation parameters are left out.
    """

    epochs: int
    batch: int
    rate: float
    decay: float

    def to_json(self) -> str:
        """Return the recipe as text, to be stored beside the weights it made."""
        return canonical(dataclasses.asdict(self))


class Trainable(Protocol):
    """What training needs to know of a catalogue entry."""

    name: ClassVar[str]

    @property
    def own_recipe(self) -> Recipe:
        """How to train it."""

    @property
    def seed(self) -> int:
        """Seed of the initial weights and of the order of the images."""

    @property
    def variant(self) -> str:
        """What tells its file from that of the same seed with other choices; empty for the defaults."""

    def build(self) -> nn.Module:
        """Return the untrained network, a function of the seed alone."""

    def data(self) -> Dataset:
        """Return the data to train on (its calibration pool) and to test with."""

    def wrap(self, module: nn.Module) -> Network:
        """Return a module of this kind as a network with its data."""


RECORD = "sdqviz"
"""Metadata entry of a trained file that holds its record."""


def read_record(file: Path) -> dict[str, Any]:
    """Return what is stored beside trained weights: name, seed, recipe, accuracy (0 … 1) and versions.

    Empty if the file is not one that `train` wrote.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np") as tensors:
            return read_json((tensors.metadata() or {}).get(RECORD, "{}"), "record must be a table")
    except (OSError, SafetensorError, InputError):
        return {}


def cache_folder() -> Path:
    """Return where trained networks are kept: ``SDQVIZ_CACHE`` if set, else the user's cache folder."""
    own = os.environ.get("SDQVIZ_CACHE")
    if own:
        return Path(own)
    import platformdirs

    return Path(platformdirs.user_cache_dir("sdqviz", appauthor=False))


def file_name(choice: Trainable) -> str:
    """Return the name of the file that holds the trained weights."""
    return f"{choice.name}-seed{choice.seed}{choice.variant}.safetensors"


def train(
    choice: Trainable,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
    folder: Path | None = None,
) -> Path:
    """Train a network from scratch, or from the last finished epoch of a run that was interrupted.

    The weights depend on the seed and the recipe alone (bit for bit on one machine with one version
    of torch): initial weights and the order of the images are functions of the seed, and the work is
    done on one thread because the order of sums depends on the number of threads.

    Parameters
    ----------
    choice : Trainable
        The catalogue entry.
    progress, should_stop : callable, optional
        Told about steps; asked before each step whether to stop.
    folder : Path, optional
        Where to write; the user's cache folder by default.

    Returns
    -------
    Path
        The safetensors file; `read_record` tells how it was made.

    Raises
    ------
    Stopped
        If asked to stop; finished epochs are kept and the next call goes on from there.
    InputError
        If the folder cannot be written.
    """
    import torch

    choice.data()  # refused first for a network that comes without
    target = (cache_folder() if folder is None else folder) / file_name(choice)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            module = _trained(choice, target.with_suffix(".partial"), progress, should_stop)
            accuracy = choice.wrap(module).accuracy()
        finally:
            torch.set_num_threads(threads)
        _save(choice, module, accuracy, target)
    except OSError as error:
        raise InputError(f"folder must be writable, got {target.parent}: {error}") from None
    target.with_suffix(".partial").unlink(missing_ok=True)
    return target


def _trained(choice: Trainable, checkpoint: Path, progress: Progress | None, should_stop: ShouldStop | None) -> Any:
    import torch

    recipe, data = choice.own_recipe, choice.data()
    module = choice.build().train()
    matrices = [p for p in module.parameters() if p.ndim > 1]
    vectors = [p for p in module.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": recipe.decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=recipe.rate)
    done = _resume(choice, module, optimizer, checkpoint)
    steps = data.calibration_size // recipe.batch
    if steps == 0:
        raise InputError(f"batch must be at most the {data.calibration_size} training inputs, got {recipe.batch}")
    labels = torch.from_numpy(np.array(data.calibration_labels))
    inputs = torch.from_numpy(data.calibration_inputs)
    for epoch in range(done, recipe.epochs):
        order = torch.from_numpy(np.random.default_rng([choice.seed, epoch]).permutation(data.calibration_size))
        for step in range(steps):
            stop_if(should_stop)
            if step % 20 == 0:
                message = f"training {choice.name}, seed {choice.seed}: epoch {epoch + 1} of {recipe.epochs}"
                report(progress, epoch * steps + step, recipe.epochs * steps, message)
            chosen = order[step * recipe.batch : (step + 1) * recipe.batch]
            rate = recipe.rate * (1 + math.cos(math.pi * (epoch * steps + step) / (recipe.epochs * steps))) / 2
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(module(inputs[chosen]), labels[chosen])
            torch.autograd.backward(loss)
            optimizer.step()
        state = {"module": module.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch + 1}
        state |= {"recipe": recipe.to_json(), "torch": str(torch.__version__)}
        partial = checkpoint.with_name(f"{checkpoint.name}.{os.getpid()}")
        torch.save(state, partial)
        partial.replace(checkpoint)
    report(progress, recipe.epochs * steps, recipe.epochs * steps, f"trained {choice.name}, seed {choice.seed}")
    return module.eval()


def _resume(choice: Trainable, module: Any, optimizer: Any, checkpoint: Path) -> int:
    """Load the last finished epoch, if its file is whole and of the same recipe; return how many are done."""
    import pickle

    import torch

    if not checkpoint.is_file():
        return 0
    try:
        state = torch.load(checkpoint, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, ValueError):
        return 0  # an unreadable checkpoint costs time, nothing else
    if not isinstance(state, dict):
        return 0
    if state.get("recipe") != choice.own_recipe.to_json() or state.get("torch") != str(torch.__version__):
        return 0
    module.load_state_dict(state["module"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["epoch"])


def _save(choice: Trainable, module: Any, accuracy: float, target: Path) -> None:
    import torch
    from safetensors.torch import save

    record = {
        "name": choice.name,
        "seed": choice.seed,
        "recipe": choice.own_recipe.to_json(),
        "accuracy": accuracy,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "sdqviz": __version__,
    }
    metadata = {RECORD: canonical(record)}  # one entry: safetensors writes several in any order
    partial = target.with_name(f"{target.name}.{os.getpid()}")
    partial.write_bytes(save(module.state_dict(), metadata=metadata))
    partial.replace(target)
