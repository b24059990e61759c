"""Inputs of a network in batches: how they are cut, put together, and made ready for a pass."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from sdqviz.error import InputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Result = TypeVar("Result")

BATCH = 256
"""Inputs that go through a network together at most."""

BATCH_VALUES = 1 << 18
"""Input values that go through together at most: the activations of a large network are many times these."""


def parts(inputs: Any) -> list[Any]:
    """Return the arrays and tensors that inputs consist of: one, the entries of a tuple, the values of a mapping."""
    if isinstance(inputs, Mapping):
        return list(inputs.values())
    return list(inputs) if isinstance(inputs, tuple | list) else [inputs]


def batch_size(inputs: Any, most: int | None = None, values: int | None = None) -> int:
    """Return how many inputs may go through together: at most ``most``, of at most ``values`` numbers."""
    most, values = BATCH if most is None else most, BATCH_VALUES if values is None else values
    found = inputs[0] if isinstance(inputs, list) and inputs else inputs
    width = sum(math.prod(part.shape[1:]) for part in parts(found))
    return max(1, min(most, values // max(width, 1)))


def batches(inputs: Any, size: int | None = None) -> Iterator[Any]:
    """Cut inputs into batches along the first axis.

    Parameters
    ----------
    inputs : ndarray, tensor, tuple or mapping of these, or list of batches
        What a network takes. Parts whose first axes differ cannot be cut and stay together. A list holds batches
        already.
    size : int, optional
        Inputs in a batch at most; by default what `batch_size` allows.

    Raises
    ------
    InputError
        If there is nothing to cut.
    """
    if isinstance(inputs, list):
        if not inputs:
            raise InputError("inputs must hold at least one batch, got none")
        for batch in inputs:
            yield from batches(batch, size)
        return
    length = common_length(parts(inputs))
    step = batch_size(inputs) if size is None else size
    if length is None or length <= step:
        yield inputs
        return
    for start in range(0, length, step):
        yield _piece(inputs, slice(start, start + step))


def first(inputs: Any, count: int) -> Any:
    """Return the first ``count`` inputs; of a list of batches the first batch's."""
    inputs = inputs[0] if isinstance(inputs, list) else inputs
    return inputs if common_length(parts(inputs)) is None else _piece(inputs, slice(0, count))


def with_first(inputs: Any, count: int, work: Callable[[Any], Result]) -> tuple[Any, Result]:
    """Do something with the first inputs, or with the whole first batch where a forward takes no fewer.

    Parameters
    ----------
    inputs : ndarray, tensor, tuple or mapping of these, or list of batches
        What a network takes.
    count : int
        How many to begin with.
    work : callable
        What is done; it may raise whatever a forward raises.

    Returns
    -------
    tuple
        The inputs that were taken, and what came of them.
    """
    few = first(inputs, count)
    try:
        return few, work(few)
    except MemoryError:
        raise
    except Exception:
        whole = next(batches(inputs))
        if common_length(parts(whole)) == common_length(parts(few)):
            raise
        return whole, work(whole)


def common_length(values: Collection[Any]) -> int | None:
    """Return the first axis that all parts share; None if they share none.

    Raises
    ------
    InputError
        If a part has no entries, or there is no part.
    """
    if not values or any(0 in part.shape for part in values):
        raise InputError(f"inputs must hold at least one sample, got shapes {[tuple(part.shape) for part in values]}")
    lengths = {part.shape[0] if len(part.shape) else None for part in values}
    return lengths.pop() if len(lengths) == 1 else None


def _piece(inputs: Any, which: slice) -> Any:
    if isinstance(inputs, Mapping):
        return {key: value[which] for key, value in inputs.items()}
    return tuple(value[which] for value in inputs) if isinstance(inputs, tuple) else inputs[which]


def together(batches: Sequence[Any]) -> Any:
    """Put batches together to one, along the first axis; a list of them where their shapes do not allow it."""
    head = batches[0]
    if len(batches) == 1:
        return head
    if isinstance(head, Mapping):
        if any(not isinstance(batch, Mapping) or set(batch) != set(head) for batch in batches):
            return list(batches)
        columns = {key: _joined([batch[key] for batch in batches]) for key in head}
        return list(batches) if any(value is None for value in columns.values()) else columns
    if isinstance(head, tuple):
        if any(not isinstance(batch, tuple) or len(batch) != len(head) for batch in batches):
            return list(batches)
        entries = tuple(_joined(column) for column in zip(*batches, strict=True))
        return list(batches) if any(value is None for value in entries) else entries
    whole = _joined(batches)
    return list(batches) if whole is None else whole


def _joined(values: Sequence[Any]) -> Any:
    import torch

    if len({(tuple(value.shape[1:]), value.dtype) for value in values if len(value.shape)}) != 1:
        return None
    if any(not len(value.shape) for value in values):
        return None
    if all(isinstance(value, torch.Tensor) for value in values):
        return torch.cat([value.detach() for value in values])
    return np.concatenate([np.asarray(value) for value in values])


def anchored(module: nn.Module, dtype: torch.dtype | None = None) -> tuple[torch.device, torch.dtype]:
    """Return where a module computes, and in which precision unless another is asked for."""
    import torch

    anchor = next(itertools.chain(module.parameters(), module.buffers()), None)  # the first: listing all takes long
    own = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
    device = torch.zeros(0).device if anchor is None else anchor.device
    return device, own if dtype is None else dtype


def arguments(
    module: nn.Module, inputs: Any, dtype: torch.dtype | None = None
) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    """Return one batch as the positional and the named arguments of a module: copies, which it may overwrite.

    Parameters
    ----------
    module : torch.nn.Module
        What the batch goes through; its device is where the copies lie.
    inputs : ndarray, tensor, tuple or mapping of these
        Passed as ``module(x)``, ``module(*x)`` or ``module(**x)``.
    dtype : torch.dtype, optional
        What floating numbers are converted to; the module's own by default.
    """
    device, wanted = anchored(module, dtype)
    if isinstance(inputs, Mapping):
        return (), {str(key): own_tensor(value, device, wanted) for key, value in inputs.items()}
    return tuple(own_tensor(value, device, wanted) for value in parts(inputs)), {}


def require_numbers(value: Any, what: str) -> None:
    """Refuse an array or tensor that does not hold its numbers one by one, or holds none.

    Parameters
    ----------
    value : ndarray or tensor
        What was given.
    what : str
        What to call it.

    Raises
    ------
    InputError
        If it holds objects, texts or times, has masked entries, or is sparse, nested, quantized or without memory.
    """
    import torch

    if isinstance(value, torch.Tensor):
        kinds = {
            "a nested tensor": value.is_nested,
            f"one of layout {value.layout}": value.layout != torch.strided,
            f"one of type {value.dtype}": value.is_quantized,
            "one on the meta device": value.is_meta,
        }
        got = next((kind for kind, is_so in kinds.items() if is_so), "")
    elif value.dtype.kind not in "biufc":
        got = f"type {value.dtype}"
    else:
        got = "masked entries" if np.ma.is_masked(value) else ""
    if got:
        raise InputError(f"{what} must be real numbers in dense arrays or tensors, got {got}")


def own_tensor(value: Any, device: torch.device | None = None, dtype: torch.dtype | None = None) -> Tensor:
    """Return a copy as a tensor without gradient: floating numbers in ``dtype``, whole numbers as they are."""
    import torch

    if isinstance(value, np.ndarray | np.generic):
        kind = value.dtype.newbyteorder("=")
        if kind.kind == "f" and kind.itemsize > 8:  # longer than anything torch has
            kind = np.dtype(np.float64)
        tensor = torch.from_numpy(np.array(value, dtype=kind, order="C"))
    else:
        tensor = torch.as_tensor(value).detach()
    wanted = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
    found = tensor.to(device=device, dtype=wanted)
    return found.clone() if found is tensor and not isinstance(value, np.ndarray | np.generic) else found
