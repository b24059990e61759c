"""One pass of a batch through a module: with copies of the inputs, random numbers of its own, and one output."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sdqviz.array import Array
from sdqviz.error import InputError
from sdqviz.networks.batch import arguments
from sdqviz.networks.kept_state import put_back
from sdqviz.networks.random_numbers import global_random_numbers, own_random_numbers

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@dataclasses.dataclass(frozen=True)
class Forward:
    """How data pass through a module and its compressed copies.

    Attributes
    ----------
    output : str or None
        Where in what the module returns the output is, for example ``"logits"`` or ``"0.hidden"``; None finds it, see
        `main_tensor`.
    random : bool
        Whether the module draws random numbers of torch. Each pass then draws the same ones.
    random_outside : bool
        Whether it draws from the generators that numpy and Python keep for everybody. So too; such passes take turns.
    selects : bool
        Whether the module picks rows by what the data are, as a router of experts does.
    keeps : bool
        Whether the module keeps something from a pass for the next. Each then begins as the first; they take turns.
    """

    output: str | None = None
    random: bool = False
    random_outside: bool = False
    selects: bool = False
    keeps: bool = False

    def __call__(self, module: nn.Module, inputs: Any, dtype: torch.dtype | None = None) -> Tensor:
        """Pass one batch through, without gradients, and return its main output.

        Parameters
        ----------
        module : torch.nn.Module
            In the precision that ``dtype`` says.
        inputs : tensor, ndarray, tuple or mapping of these
            Copied, and floating ones converted; what is given is not changed by a module that writes into its input.
        dtype : torch.dtype, optional
            Precision of the pass; the module's own by default.
        """
        import torch

        found = main_tensor(self.raw(module, inputs, dtype), self.output)
        if found.is_complex():  # real and imaginary parts, along one more axis
            found = torch.view_as_real(found.resolve_conj())
        return found.to_dense() if found.is_sparse or found.is_sparse_csr else found

    def raw(self, module: nn.Module, inputs: Any, dtype: torch.dtype | None = None) -> Any:
        """Pass one batch through, and return all that the module returns."""
        import torch

        positional, named = arguments(module, inputs, dtype)
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            if self.random:
                stack.enter_context(own_random_numbers())
            if self.random_outside:
                stack.enter_context(global_random_numbers())
            if self.keeps:
                stack.enter_context(put_back(module))
            return module(*positional, **named)


def main_tensor(result: Any, path: str | None = None) -> Tensor:
    """Return the output of a module that counts.

    Parameters
    ----------
    result : object
        A tensor, or a mapping, sequence, dataclass or other object that holds one, nested as it likes.
    path : str, optional
        Keys, positions and names of attributes that lead to it, joined by dots. By default a mapping or object is asked
        for ``logits`` first; then the first floating tensor counts, or else the first tensor.

    Raises
    ------
    InputError
        If there is none.
    """
    import torch

    if path is not None:
        found = result
        for key in path.split("."):
            found = _entry(found, key, path)
        if not isinstance(found, torch.Tensor):
            raise InputError(f"output must name a tensor that the module returns, got {path!r}: {type(found).__name__}")
        return found
    tensors = list(_tensors(result, set()))
    for tensor in tensors:
        if tensor.is_floating_point() or tensor.is_complex():
            return tensor
    if tensors:
        return tensors[0]
    raise InputError(f"module must return a tensor, or something that holds one, got {type(result).__name__}")


def _entries(result: Any) -> dict[str, Any]:
    if isinstance(result, Mapping):
        return {str(key): value for key, value in result.items()}
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        return {name: getattr(result, name) for name in result._fields}
    if isinstance(result, tuple | list):
        return {str(place): value for place, value in enumerate(result)}
    if isinstance(result, type):
        return {}
    slots = [key for kind in type(result).__mro__ for key in _slots(kind) if hasattr(result, key)]
    return {key: getattr(result, key) for key in reversed(slots)} | dict(getattr(result, "__dict__", {}))


def _slots(kind: type) -> list[str]:
    """Return the slots of a class in reverse, but for those that hold no values."""
    slots = vars(kind).get("__slots__", ())
    return [key for key in reversed([slots] if isinstance(slots, str) else list(slots)) if not key.startswith("__")]


def _entry(result: Any, key: str, path: str) -> Any:
    entries = _entries(result)
    if key in entries:
        return entries[key]
    places = list(entries.values())
    if key.isdecimal() and int(key) < len(places):
        return places[int(key)]
    known = ", ".join(entries) or "nothing"
    raise InputError(f"output must name what the module returns ({known}), got {path!r}")


def _tensors(result: Any, met: set[int]) -> Iterator[Tensor]:
    import torch

    if isinstance(result, torch.Tensor):
        yield result
        return
    if id(result) in met:  # an object may hold itself
        return
    met.add(id(result))
    entries = _entries(result)
    if "logits" in entries:
        yield from _tensors(entries["logits"], met)
    for value in entries.values():
        yield from _tensors(value, met)


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or its kind if it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def to_numpy(tensor: Tensor) -> Array:
    """Return a tensor as an array of its own; half precisions, which have no counterpart everywhere, become float32."""
    import torch

    wide = tensor.detach().to("cpu")
    return wide.float().numpy() if wide.dtype in (torch.float16, torch.bfloat16) else wide.numpy().copy()
