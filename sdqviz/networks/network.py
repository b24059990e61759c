"""A network as a value: any torch module in evaluation mode, with its layers, its data and its outputs."""

from __future__ import annotations

import copy
import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.error import InputError
from sdqviz.networks import structure
from sdqviz.networks.assignment import Exact, assign_tensors, copied, fitting, kept_exactly
from sdqviz.networks.batch import batch_size, batches
from sdqviz.networks.batch_axis import batch_axis_asked
from sdqviz.networks.dataset import Dataset
from sdqviz.networks.forward import Forward, first_line, to_numpy
from sdqviz.networks.kept_state import put_back
from sdqviz.networks.layer import Layer, find_layers, layers_on_demand
from sdqviz.networks.plainness import not_plain
from sdqviz.networks.random_numbers import global_random_numbers, own_random_numbers
from sdqviz.networks.recorder import Recorder, shadow
from sdqviz.networks.state_file import fill, path_or_bytes, read_state
from sdqviz.networks.structure import Structure
from sdqviz.networks.wrapping import checked_example, own_copy, renamed_inside, settle
from sdqviz.progress import ShouldStop, stop_if

if TYPE_CHECKING:
    from torch import Tensor, nn

Precision = Literal["float32", "float64"]
"""The arithmetic of a forward pass: the module as it is, or its copy in double precision."""

NO_CLASS = -1
"""What is predicted where an output is NaN or infinite."""

TEST_BATCH, TEST_VALUES = 500, 1 << 21
"""Inputs, and input values, that pass through together where only outputs are kept: enough to keep all threads busy,
few enough for the memory of activations to be used again by the next batch rather than asked for anew."""


class Network:
    """A torch module wrapped to be measured and compressed; it never changes.

    Parameters
    ----------
    module : torch.nn.Module
        Any module. A copy is made and put in evaluation mode; the given one stays as it is. A bare
        dense or convolutional layer becomes a Sequential with that one part, called ``layer``.
    example_input : tensor, tuple of tensors or dict of tensors
        One batch of valid input: passed as ``module(x)``, ``module(*x)`` or ``module(**x)``.
    dataset : Dataset, optional
        Inputs to calibrate and test with; needed for `accuracy` and `predictions`.
    name : str
        What the network is called.
    seed : int, optional
        Seed of its training, if it is one of the catalogue.
    note : str
        What whoever reads results of it must know, for example that its weights are random.
    choice : mapping, optional
        The catalogue's choice that made it, as its ``to_dict``, from which its architecture can be built again.
    output : str, optional
        Where in what the module returns its output is: keys and positions joined by dots, such as ``"logits"``.

    Raises
    ------
    InputError
        If the module cannot be copied or does not take the example.

    Notes
    -----
    The outputs are the module's tensor; where it returns something that holds several, ``output`` or else
    `sdqviz.networks.forward.main_tensor` says which.
    """

    def __init__(
        self, module: nn.Module, example_input: Any, dataset: Dataset | None = None, *, name: str = "custom",
        seed: int | None = None, note: str = "", choice: Mapping[str, Any] | None = None, output: str | None = None,
    ) -> None:  # fmt: skip
        own, example = own_copy(module), checked_example(example_input)
        note = "; ".join(part for part in (note, settle(own)) if part)
        self._set(own, example, dataset, name, seed, {}, note, choice or {}, Forward(output))
        self.renamed: Mapping[str, str] = renamed_inside(module)
        try:
            asked = batch_axis_asked("example_input", self.example_input)
            with own_random_numbers() as numbers, global_random_numbers() as outside, put_back(own) as kept, asked:
                found = self.forward(self.example_input)
        except InputError:
            raise
        except Exception as error:  # whatever a user's forward raises is about the input we were given
            raise InputError(f"example_input must be accepted by the module, got {first_line(error)}") from error
        if not found.numel():
            raise InputError(f"module must return at least one number, got an output of shape {tuple(found.shape)}")
        self.passes = Forward(output, numbers.drawn, outside.drawn, numbers.selected, kept.changed)

    @classmethod
    def without_forward(
        cls, module: nn.Module, *, name: str, note: str = "", renamed: Mapping[str, str] | None = None
    ) -> Network:
        """Wrap modules that hold weights but are not put together to a network.

        They can be compressed by methods that look at no data; whatever needs a forward pass refuses them.

        Parameters
        ----------
        module : torch.nn.Module
            Taken over as it is, not copied; its own forward is never called.
        name, note : str
            As for a network.
        renamed : mapping of str to str, optional
            What tensors were called before they were put into modules, where it was something else.
        """
        network = cls.__new__(cls)
        network._set(module.eval().requires_grad_(False), None, None, name, None, {}, note, {}, Forward())
        network.renamed = dict(renamed or {})
        return network

    def _set(
        self, module: nn.Module, example_input: Any, dataset: Dataset | None, name: str, seed: int | None,
        exact: Exact, note: str, choice: Mapping[str, Any], passes: Forward,
    ) -> None:  # fmt: skip
        self.module = module
        self.example_input = example_input
        self.dataset = dataset
        self.name = name
        self.seed = seed
        self.note = note
        self.choice = dict(choice)
        self.passes = passes
        self._exact = exact
        self._predictions: dict[int | None, Index] = {}

    def __repr__(self) -> str:
        """Show the name and the number of parameters."""
        note = f"; {self.note}" if self.note else ""
        return f"<network {self.name}: {self.parameter_count} parameters{note}>"

    # -- what it is made of -------------------------------------------------------------------

    @functools.cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The compressible layers in order of definition, with float64 weights.

        Raises
        ------
        InputError
            If there is none, or a weight has a NaN or infinite entry.
        """
        layers = find_layers(self.module, self.left_alone, self._exact)
        if not layers:
            reasons = "; ".join(f"{name} is {why}" for name, why in self.left_alone.items())
            raise InputError(
                f"network must have at least one Linear, Conv1d or Conv2d layer of its own, got {reasons or 'none'}"
            )
        return layers

    @functools.cached_property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the compressible layers in the order of definition; their weights are not looked at."""
        return tuple(layer.name for layer in self.layers_on_demand)

    @property
    def layers_on_demand(self) -> tuple[Layer, ...]:
        """The compressible layers, whose weights are read from the module each time they are asked for."""
        return self.layers if self._exact else layers_on_demand(self.module, self.left_alone)

    @functools.cached_property
    def left_alone(self) -> dict[str, str]:
        """Layers that look like one of those compressed but compute something else, by name, with the reason."""
        return not_plain(self.module, self.example_input, self.passes)

    @functools.cached_property
    def precision(self) -> Precision:
        """What errors are measured in: double precision, or the module's own where its forward insists on that."""
        try:
            self.forward(self.example_input, "float64")
        except Exception:  # whatever a forward raises that runs in its own precision
            return "float32"
        return "float64"

    @functools.cached_property
    def module64(self) -> nn.Module:
        """The module in double precision, for measurements.

        Weights given to `replaced` in float64 are exact here, so a measured error is that of what a method chose.
        """
        import torch

        return copied(self.module, self._exact, torch.float64)

    @functools.cached_property
    def structure(self) -> Structure:
        """How the theorems see the network; see `sdqviz.networks.structure.read`."""
        read = structure.read(self.module)
        if not read.applicable:
            return read
        recorder = Recorder(self.module, read.layer_names, outputs=False)
        recording = recorder.run(functools.partial(self.passes.raw, inputs=self.example_input))
        for name, calls in recording.calls.items():
            refusal = structure.not_vectors(name, [call.entered.ndim for call in calls])
            if refusal:
                return structure.refused(refusal)
        return read

    @property
    def parameter_count(self) -> int:
        """Number of parameters, shared ones counted once."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all parameters and buffers with their names, types and shapes."""
        from sdqviz.networks.mapped import let_go

        digest = hashlib.sha256()
        for name, tensor in (*self.module.named_parameters(remove_duplicate=False), *self.module.named_buffers()):
            digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
            digest.update(_bytes(tensor))
            let_go(tensor)
        return digest.hexdigest()

    # -- what it does ---------------------------------------------------------------------------

    def forward(self, inputs: Any, dtype: Precision = "float32") -> Tensor:
        """Pass one batch through, without gradients, and return the output tensor.

        Parameters
        ----------
        inputs : tensor, ndarray, tuple or dict of these
            Floating inputs are converted to the precision of the pass.
        dtype : {"float32", "float64"}
            ``"float32"``: the module as it is; ``"float64"``: `module64`.
        """
        if self.example_input is None:
            raise InputError(f"network {self.name} must have a forward pass for this, got weights alone")
        return self.passes(self.of(dtype), inputs)

    def outputs(self, inputs: Any, dtype: Precision = "float32", should_stop: ShouldStop | None = None) -> Array:
        """Return the outputs for many inputs, computed in batches, shape (n, ...)."""
        parts: list[Array] = []
        for batch in batches(inputs, batch_size(inputs, TEST_BATCH, TEST_VALUES)):
            stop_if(should_stop)
            parts.append(np.atleast_1d(to_numpy(self.forward(batch, dtype))))
        return np.concatenate(parts)

    def predictions(self, limit: int | None = None, should_stop: ShouldStop | None = None) -> Index:
        """Return the class with the largest output for the first ``limit`` test inputs, shape (n,), read-only.

        Where an output is NaN or infinite there is no class: `NO_CLASS`.

        Raises
        ------
        InputError
            If the network has no dataset, or its outputs are not one score per class.
        """
        if self.dataset is None:
            raise InputError("dataset must be given to the network to test it, got none")
        if limit not in self._predictions:
            inputs, _ = self.dataset.test(limit)
            scores = self.outputs(inputs, should_stop=should_stop)
            classes = self.dataset.classes
            if scores.ndim != 2 or scores.shape[1] < classes:
                raise InputError(
                    f"network outputs must have shape (n, classes) to be tested, with {classes} classes or more, "
                    f"got {scores.shape}"
                )
            finite = np.logical_and.reduce(np.isfinite(scores), axis=1)
            found = np.where(finite, scores.argmax(axis=1), NO_CLASS)
            found.setflags(write=False)
            self._predictions[limit] = found
        return self._predictions[limit]

    def accuracy(self, limit: int | None = None, should_stop: ShouldStop | None = None) -> float:
        """Return the fraction, 0 to 1, of the first ``limit`` test inputs that are classified rightly."""
        predictions = self.predictions(limit, should_stop)
        if self.dataset is None:  # predictions has refused this already
            raise InputError("dataset must be given to the network to test it, got none")
        _, labels = self.dataset.test(limit)
        return float((predictions == labels).mean())

    def shadow(self, dtype: Precision = "float32") -> nn.Module:
        """Return a copy of the module that shares its parameters and buffers: hooks on it concern nobody else."""
        return shadow(self.of(dtype))

    # -- a changed copy ---------------------------------------------------------------------------

    def replaced(
        self, weights: Mapping[str, Array], biases: Mapping[str, Array] | None = None,
        tensors: Mapping[str, Array] | None = None,
    ) -> Network:  # fmt: skip
        """Return a new network with other weights in some layers; everything else is the same.

        Parameters
        ----------
        weights, biases : dict of str to ndarray
            By layer name; in the shape of the layer's weight or bias. A shared weight changes
            wherever it is used.
        tensors : dict of str to ndarray
            Any other parameters and buffers by path, for example ``"bn1.running_mean"``.

        Raises
        ------
        InputError
            If a name is not a layer's, a shape differs, or a value is not finite.
        """
        known = {layer.name: layer for layer in self.layers}
        others = tensors or {}
        exact = {key: values for key, values in self._exact.items() if ".".join(key) not in others}
        for which, given in (("weight", weights), ("bias", biases or {})):
            for name, values in given.items():
                if name not in known:
                    raise InputError(f"layer must be one of {', '.join(known)}, got {name!r}")
                exact[name, which] = fitting(name, which, values, getattr(known[name], which))
        module = copied(self.module, exact)
        assign_tensors(module, others)
        return self._with(module=module, _exact=kept_exactly(module, exact), left_alone=self.left_alone)

    def with_module(self, module: nn.Module) -> Network:
        """Return a network of the same name, data and note with another module, which is copied."""
        found = Network(module, self.example_input, self.dataset, name=self.name, output=self.passes.output)
        return self._with(module=found.module, _exact={}, passes=found.passes, left_alone=self.left_alone)

    def with_data(self, dataset: Dataset | None) -> Network:
        """Return the same network with other data to calibrate and test with, or None for none.

        Raises
        ------
        InputError
            If the network does not take such inputs, or has no output for some label.
        """
        if dataset is None:
            return self._with(dataset=None)
        if self.example_input is None:
            raise InputError(f"data must be for a network with a forward pass, got {self.name}: weights alone")
        example = checked_example(dataset.test_inputs[:1])
        try:
            outputs = self.forward(example)
        except Exception as error:  # whatever a forward raises is about the inputs we were given
            raise InputError(f"data must be accepted by the network {self.name}, got {first_line(error)}") from error
        if outputs.ndim != 2 or outputs.shape[1] < dataset.classes:
            raise InputError(
                f"labels must be below the {outputs.shape[-1]} outputs of {self.name}, got {dataset.classes - 1}"
            )
        return self._with(dataset=dataset, example_input=example)

    def with_state(self, source: str | Path | bytes, name: str = "") -> Network:
        """Return the same network with weights that somebody else made.

        Parameters
        ----------
        source : path or bytes
            A safetensors file, or what ``torch.save`` wrote of a state dict; nothing in it is run.
        name : str
            What to call it, where its content is given.

        Raises
        ------
        InputError
            If the file cannot be read, would run code, or does not fit: the first difference is named.
        """
        if self.example_input is None:
            raise InputError(f"state must be for a network with a forward pass, got {self.name}: weights alone")
        file = path_or_bytes(source, "state")
        called = name or (file.name if isinstance(file, Path) else "the file")
        module = copy.deepcopy(self.module)
        fill(module, read_state(file, called), f"weights {called}", self.name)
        own, note = f"{self.name} with {called}", f"weights of {called}"
        return self._with(module=module, _exact={}, name=own, seed=None, note=note)

    def _with(self, **changes: Any) -> Network:
        """Return a copy with some attributes changed, and nothing remembered of this one."""
        own = ("module", "example_input", "dataset", "name", "seed", "note", "choice", "passes", "renamed", "_exact")
        found = Network.__new__(Network)
        vars(found).update({key: vars(self)[key] for key in own} | changes, _predictions={})
        return found

    def of(self, dtype: Precision) -> nn.Module:
        """Return the module in a precision: as it is, or in double."""
        if dtype not in ("float32", "float64"):
            raise InputError(f"dtype must be 'float32' or 'float64', got {dtype!r}")
        return self.module if dtype == "float32" else self.module64


def _bytes(tensor: Tensor) -> memoryview:
    import torch

    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
