"""A network as a value: any torch module in evaluation mode, with its layers, its data and its outputs."""

from __future__ import annotations

import copy
import dataclasses
import functools
import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.error import InputError
from sdqviz.networks import structure
from sdqviz.networks.batch import batch_size, batches
from sdqviz.networks.dataset import Dataset
from sdqviz.networks.forward import Forward
from sdqviz.networks.layer import Layer, compressible_kinds, find_layers
from sdqviz.networks.recorder import Recorder, shadow
from sdqviz.networks.structure import Structure
from sdqviz.progress import ShouldStop, stop_if

if TYPE_CHECKING:
    from torch import Tensor, nn

Precision = Literal["float32", "float64"]
"""The arithmetic of a forward pass: the module as it is, or its copy in double precision."""

TEST_BATCH, TEST_VALUES = 2000, 1 << 21
"""Inputs, and input values, that pass through together where only outputs are kept: large products keep all threads
busy."""


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

    Raises
    ------
    InputError
        If the module cannot be copied or does not take the example.

    Notes
    -----
    The outputs are the module's tensor; of a tuple or list the first entry, of a mapping the entry
    ``"logits"`` or else the first.
    """

    def __init__(
        self, module: nn.Module, example_input: Any, dataset: Dataset | None = None, *, name: str = "custom",
        seed: int | None = None, note: str = "", choice: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        from torch import nn

        if not isinstance(module, nn.Module):
            raise InputError(f"module must be a torch.nn.Module, got {type(module).__name__}")
        try:
            own = copy.deepcopy(module)
        except (RuntimeError, TypeError, NotImplementedError) as error:
            raise InputError(f"module must be one that can be copied, got {type(module).__name__}: {error}") from None
        if isinstance(own, compressible_kinds()):  # a layer needs a name, which is its path in a larger module
            own = nn.Sequential(OrderedDict(layer=own))
        example = _checked_example(example_input)
        self._set(own.eval().requires_grad_(False), example, dataset, name, seed, {}, note, choice or {})
        try:
            self.forward(self.example_input)
        except InputError:
            raise
        except Exception as error:  # whatever a user's forward raises is about the input we were given
            first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InputError(f"example_input must be accepted by the module, got {first_line}") from error

    @classmethod
    def without_forward(cls, module: nn.Module, *, name: str, note: str = "") -> Network:
        """Wrap modules that hold weights but are not put together to a network.

        They can be compressed by methods that look at no data; whatever needs a forward pass refuses them.

        Parameters
        ----------
        module : torch.nn.Module
            Taken over as it is, not copied; its own forward is never called.
        name, note : str
            As for a network.
        """
        network = cls.__new__(cls)
        network._set(module.eval().requires_grad_(False), None, None, name, None, {}, note, {})
        return network

    def _set(
        self, module: nn.Module, example_input: Any, dataset: Dataset | None, name: str, seed: int | None,
        exact: Mapping[tuple[str, str], Array], note: str, choice: Mapping[str, Any],
    ) -> None:  # fmt: skip
        self.module = module
        self.example_input = example_input
        self.dataset = dataset
        self.name = name
        self.seed = seed
        self.note = note
        self.choice = dict(choice)
        self.passes = Forward()
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
        layers = find_layers(self.module)
        if not layers:
            raise InputError("network must have at least one Linear, Conv1d or Conv2d layer of its own, got none")
        return tuple(
            dataclasses.replace(
                layer,
                weight=self._exact.get((layer.name, "weight"), layer.weight),
                bias=self._exact.get((layer.name, "bias"), layer.bias),
            )
            for layer in layers
        )

    @functools.cached_property
    def module64(self) -> nn.Module:
        """The module in double precision, for measurements.

        Weights given to `replaced` in float64 are kept exactly here, while ``module`` holds them
        rounded to its own precision; so a measured error is that of the weights a method chose.
        """
        double = copy.deepcopy(self.module).double()
        _assign(double, self._exact)
        return double

    @functools.cached_property
    def structure(self) -> Structure:
        """How the theorems see the network; see `sdqviz.networks.structure.read`."""
        read = structure.read(self.module)
        if not read.applicable:
            return read
        recorder = Recorder(self.module, [name for node in read.nodes for name in _layer_names(node)], outputs=False)
        recording = recorder.run(lambda module: self.passes.raw(module, self.example_input))
        for name, calls in recording.calls.items():
            for shape in (tuple(call.entered.shape) for call in calls):
                if len(shape) != 2:
                    return structure.refused(
                        f"layer {name} acts on inputs of shape {shape}; the theorems speak of one vector per input"
                    )
        return read

    @property
    def parameter_count(self) -> int:
        """Number of parameters, shared ones counted once."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all parameters and buffers with their names, types and shapes."""
        digest = hashlib.sha256()
        parts = [*self.module.named_parameters(remove_duplicate=False), *self.module.named_buffers()]
        for name, tensor in parts:
            digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
            digest.update(_bytes(tensor))
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
            parts.append(_to_numpy(self.forward(batch, dtype)))
        return np.concatenate(parts)

    def predictions(self, limit: int | None = None, should_stop: ShouldStop | None = None) -> Index:
        """Return the class with the largest output for the first ``limit`` test inputs, shape (n,), read-only.

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
            if scores.ndim != 2:
                raise InputError(f"network outputs must have shape (n, classes) to be tested, got {scores.shape}")
            found = scores.argmax(axis=1)
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
                exact[name, which] = _fitting(name, which, values, getattr(known[name], which))
        module = copy.deepcopy(self.module)
        _assign(module, exact)
        _assign_tensors(module, others)
        network = Network.__new__(Network)
        network._set(module, self.example_input, self.dataset, self.name, self.seed, exact, self.note, self.choice)
        return network

    def of(self, dtype: Precision) -> nn.Module:
        """Return the module in a precision: as it is, or in double."""
        if dtype not in ("float32", "float64"):
            raise InputError(f"dtype must be 'float32' or 'float64', got {dtype!r}")
        return self.module if dtype == "float32" else self.module64


def _layer_names(node: structure.DenseNode | structure.ResidualNode) -> tuple[str, ...]:
    return (node.layer,) if isinstance(node, structure.DenseNode) else (node.inner, node.outer)


def _checked_example(example: Any) -> Any:
    import torch

    def copied(value: Any) -> Tensor:
        tensor = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        if not isinstance(tensor, torch.Tensor):
            raise InputError(
                f"example_input must be a tensor, a tuple or a dict of tensors, got {type(value).__name__}"
            )
        return tensor.detach().clone()

    if isinstance(example, Mapping):
        return {str(key): copied(value) for key, value in example.items()}
    if isinstance(example, tuple | list):
        return tuple(copied(value) for value in example)
    return copied(example)


def _to_numpy(tensor: Tensor) -> Array:
    import torch

    # half precisions have no counterpart everywhere downstream: widen them
    wide = tensor.detach().to("cpu")
    return wide.float().numpy() if wide.dtype in (torch.float16, torch.bfloat16) else wide.numpy().copy()


def _assign(module: nn.Module, exact: Mapping[tuple[str, str], Array]) -> None:
    import torch

    with torch.no_grad():
        for (name, which), values in exact.items():
            parameter = module.get_submodule(name)._parameters[which]
            if parameter is not None:
                parameter.copy_(torch.tensor(values))


def _assign_tensors(module: nn.Module, tensors: Mapping[str, Array]) -> None:
    import torch

    known = {**dict(module.named_parameters(remove_duplicate=False)), **dict(module.named_buffers())}
    with torch.no_grad():
        for name, values in tensors.items():
            if name not in known or tuple(known[name].shape) != values.shape:
                shape = tuple(known[name].shape) if name in known else "none of that name"
                raise InputError(f"tensor {name} must have the network's shape, {shape}, got {values.shape}")
            known[name].copy_(torch.tensor(values))


def _fitting(name: str, which: str, values: Array, before: Array | None) -> Array:
    if before is None:
        raise InputError(f"layer {name!r} must have a {which} for it to be replaced, got none")
    array = np.array(values, dtype=np.float64)
    if array.shape != before.shape:
        raise InputError(f"{which} of layer {name!r} must have shape {before.shape}, got {array.shape}")
    if not np.isfinite(array).all():
        raise InputError(
            f"{which} of layer {name!r} must be finite, got {int((~np.isfinite(array)).sum())} bad entries"
        )
    array.setflags(write=False)
    return array


def _bytes(tensor: Tensor) -> bytes:
    import torch

    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
