"""Watches a module while data pass through it, and keeps what enters and leaves its layers."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sdqviz.error import InputError
from sdqviz.networks.forward import first_line

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """One use of a layer.

    Attributes
    ----------
    entered : Tensor
        A copy of its input.
    left : Tensor or None
        A copy of its output; None where it was not kept.
    called : bool
        Whether the layer itself was called; otherwise its weight was used without it.
    """

    entered: Tensor
    left: Tensor | None = None
    called: bool = True

    @property
    def output(self) -> Tensor:
        """What left the layer, where it was kept."""
        if self.left is None:
            raise InputError("outputs must be kept by the recorder to be asked for, got a recorder of inputs")
        return self.left


@dataclasses.dataclass(frozen=True, eq=False)
class Recording:
    """What one pass showed.

    Attributes
    ----------
    output : object
        What the module returned.
    calls : mapping of str to list of Call
        The uses of each layer in their order, by name; layers in the order in which the data met them first.
        A layer that took no part is missing.
    """

    output: Any
    calls: Mapping[str, list[Call]]

    def of(self, name: str) -> list[Call]:
        """Return the uses of a layer; none if it took no part."""
        return self.calls.get(name, [])


class Recorder:
    """Runs a module and keeps copies of what enters and leaves some of its layers.

    Parameters
    ----------
    module : torch.nn.Module
        It stays as it is: hooks sit on a copy that shares its tensors, so several threads may watch one module.
    names : iterable of str
        Paths of the layers.
    outputs : bool
        Whether to keep what leaves them, too.

    Notes
    -----
    Attention uses the weights of some of its layers without calling them, and so may any forward; those layers are
    found where their weight enters a linear map or a convolution. In evaluation mode torch fuses the steps of attention
    and of encoder layers into one operation; in the copy they are computed one by one.
    """

    def __init__(self, module: nn.Module, names: Iterable[str], *, outputs: bool = True) -> None:
        self.module = shadow(module)
        self._outputs = outputs
        self._calls: dict[str, list[Call]] = {}
        self._entered: dict[str, list[Tensor]] = {}
        self._until: str | None = None
        self._silent: dict[int, str] = {}
        step_by_step(self.module)
        for name in names:
            part = self.module.get_submodule(name)
            weight = part._parameters.get("weight")
            if weight is not None:
                self._silent.setdefault(id(weight), name)
            part.register_forward_pre_hook(functools.partial(self._enter, name), with_kwargs=True)
            part.register_forward_hook(functools.partial(self._leave, name), with_kwargs=True)

    def run(self, forward: Callable[[nn.Module], Any]) -> Recording:
        """Record one pass.

        Parameters
        ----------
        forward : callable
            Given the watched module, passes data through it and returns what it returns.
        """
        self._calls, self._entered = {}, {}
        output = self._watched(forward)
        calls, self._calls = self._calls, {}
        return Recording(output, calls)

    def reach(self, forward: Callable[[nn.Module], Any], name: str) -> Tensor:
        """Return what enters a layer at its first use; the pass ends there.

        Raises
        ------
        InputError
            If the data pass the layer by.
        """
        found = self.reach_if_any(forward, name)
        if found is None:
            raise InputError(f"layer {name!r} must be reached by every batch, got one that passes it by")
        return found

    def reach_if_any(self, forward: Callable[[nn.Module], Any], name: str) -> Tensor | None:
        """Return the same, or None if the data pass the layer by."""
        self._calls, self._entered, self._until = {}, {}, name
        try:
            self._watched(forward)
        except _ReachedError as reached:
            return reached.entered
        finally:
            self._until = None
            self._calls = {}
        return None

    def _watched(self, forward: Callable[[nn.Module], Any]) -> Any:
        import torch
        from torch.overrides import TorchFunctionMode

        keep, name_of, until = self._uncalled, self._silent_name, self._until
        maps = (torch.nn.functional.linear, torch.conv1d, torch.conv2d)
        attention: Any = torch.nn.functional.multi_head_attention_forward

        class Watch(TorchFunctionMode):  # of this thread alone
            def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                named = kwargs or {}
                if function in maps:
                    entered, weight = (*args, *(named[key] for key in ("input", "weight") if key in named))[:2]
                    name = name_of(weight)
                    kept = _own(entered) if name is not None else entered
                    result = function(*args, **named)
                    if name is not None:
                        keep(name, kept, result)
                    return result
                name = name_of(args[11]) if function is attention and len(args) > 12 else None
                if name is None:
                    return function(*args, **named)
                # what would come out if the projection (weight 11, bias 12) were the identity goes into it
                identity = torch.eye(len(args[11]), dtype=args[11].dtype, device=args[11].device)
                entered = function(*args[:11], identity, None, *args[13:], **named)[0]
                if name == until:
                    raise _ReachedError(entered)
                result = function(*args, **named)
                keep(name, entered, result[0])
                return result

        with torch.no_grad(), accepting(), Watch():
            return forward(self.module)

    def _silent_name(self, weight: Any) -> str | None:
        name = self._silent.get(id(weight))
        return name if name is not None and not self._entered.get(name) else None

    def _uncalled(self, name: str, entered: Tensor, left: Tensor) -> None:
        if self._until == name:
            raise _ReachedError(entered)
        self._calls.setdefault(name, []).append(Call(entered, _own(left) if self._outputs else None, False))

    def _enter(self, name: str, _: nn.Module, positional: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        entered = _main_input(name, positional, named)
        self._calls.setdefault(name, [])
        if self._until == name:
            raise _ReachedError(entered)
        self._entered.setdefault(name, []).append(entered)

    def _leave(
        self, name: str, _: nn.Module, positional: tuple[Any, ...], named: Mapping[str, Any], output: Any
    ) -> None:
        import torch

        entered = self._entered[name].pop()
        kept = _own(output) if self._outputs and isinstance(output, torch.Tensor) else None
        self._calls[name].append(Call(entered, kept))


@contextlib.contextmanager
def accepting() -> Iterator[None]:
    """Tell in a sentence what a network's own code raises about the data that pass through it.

    Raises
    ------
    InputError
        In place of whatever else is raised, but for want of memory.
    """
    try:
        yield
    except (InputError, _ReachedError, MemoryError):
        raise
    except Exception as error:  # whatever a forward raises is about the inputs we were given
        raise InputError(f"calibration inputs must be accepted by the network, got {first_line(error)}") from error


class _ReachedError(Exception):
    """Ends a pass at the layer that is being looked at, and carries what enters it."""

    def __init__(self, entered: Tensor) -> None:
        super().__init__()
        self.entered = entered


def _main_input(name: str, positional: tuple[Any, ...], named: Mapping[str, Any]) -> Tensor:
    import torch

    for value in (*positional, *named.values()):
        if isinstance(value, torch.Tensor):
            return _own(value)
    raise InputError(f"layer {name!r} must be given a tensor, got none")


def _own(value: Tensor) -> Tensor:
    """Return a copy, which an operation in place later does not reach; of what ``torch.func`` maps over, all of it."""
    from torch._C import _functorch

    while _functorch.is_functorch_wrapped_tensor(value):
        axis, value = _functorch.maybe_get_bdim(value), _functorch.get_unwrapped(value)
        value = value.movedim(axis, 0) if axis >= 0 else value
    return value.detach().clone()


def shadow(module: nn.Module) -> nn.Module:
    """Return a copy of a module that shares its parameters and buffers: hooks on it concern nobody else."""
    shared = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    return copy.deepcopy(module, shared)


def step_by_step(module: nn.Module) -> None:
    """Make attention and encoder layers compute their steps one by one, in place."""
    from torch import nn

    for part in module.modules():
        if isinstance(part, nn.MultiheadAttention):
            part.dropout = 0.0  # all that training would change
            part.training = True
        elif isinstance(part, nn.TransformerEncoderLayer):
            part.activation_relu_or_gelu = 0
        elif isinstance(part, nn.TransformerEncoder):
            part.enable_nested_tensor = False
            part.use_nested_tensor = False
