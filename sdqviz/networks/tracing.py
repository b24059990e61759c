"""The graph of a module's operations, found without touching anything that other threads use."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from sdqviz.networks.recorder import shadow

if TYPE_CHECKING:
    from torch import Tensor, fx, nn


@dataclasses.dataclass(frozen=True, eq=False)
class Trace:
    """What following a module's forward with symbols gave.

    Attributes
    ----------
    graph : torch.fx.Graph
        Its operations, in order.
    constants : mapping of str to Tensor
        Tensors that the forward made of nothing that was put in, by the name the graph gives them.
    """

    graph: fx.Graph
    constants: Mapping[str, Tensor]


def trace(module: nn.Module, wanted: Collection[str]) -> Trace | None:
    """Return the operations of a module, or None if its forward cannot be followed with symbols.

    Parameters
    ----------
    module : torch.nn.Module
        It stays as it is.
    wanted : collection of str
        Paths of parts to meet as one operation each; torch's own modules (Sequential apart) are operations, too.

    Notes
    -----
    torch's tracer puts its own ``__call__`` into ``torch.nn.Module`` while it traces, and wrapped functions into the
    modules they are used in, which forward passes of other threads run into. Here every part of a copy gets a class of
    its own instead.
    """
    copied = shadow(module)
    try:
        return _follow(copied, frozenset(wanted))
    except Exception:  # a user's forward may fail on symbols in any way; it is then run as it is
        return None


def _follow(module: nn.Module, wanted: Collection[str]) -> Trace:
    from torch import fx, nn

    class Tracer(fx.Tracer):
        def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
            of_torch = m.__module__.startswith(("torch.nn", "torch.ao.nn")) and not isinstance(m, nn.Sequential)
            return of_torch or module_qualified_name in wanted

    tracer = Tracer()
    tracer.root = module
    tracer.root_module_name = type(module).__name__
    tracer.submodule_paths = {part: name for name, part in module.named_modules()}
    tracer.graph = fx.Graph(tracer_cls=Tracer)
    tracer.tensor_attrs = _plain_tensors(module)
    before = set(vars(module))
    proxies: dict[str, fx.Proxy] = {}
    for part in list(module.modules()):
        part.__class__ = _followed_class(type(part), tracer, proxies)
    function, arguments = tracer.create_args_for_root(type(module).forward, True)
    tracer.create_node("output", "output", (tracer.create_arg(function(*arguments)),), {})
    return Trace(tracer.graph, {key: value for key, value in vars(module).items() if key not in before})


def _plain_tensors(module: nn.Module) -> dict[Any, str]:
    """Return the paths of tensors that are attributes but neither parameters nor buffers."""
    import torch

    return {
        value: f"{name}.{key}" if name else key
        for name, part in module.named_modules()
        for key, value in vars(part).items()
        if isinstance(value, torch.Tensor)
    }


def _followed_class(kind: type[nn.Module], tracer: fx.Tracer, proxies: dict[str, fx.Proxy]) -> type[nn.Module]:
    """Return a subclass whose calls the tracer sees, and whose methods use functions that know its symbols."""

    def call(self: nn.Module, *positional: Any, **named: Any) -> Any:
        return tracer.call_module(self, functools.partial(kind.__call__, self), positional, named)

    def attribute(self: nn.Module, name: str) -> Any:
        value = kind.__getattr__(self, name)
        return tracer.getattr(name, value, proxies)  # a parameter becomes a symbol, lest what is made of it be frozen

    space: dict[str, Any] = {"__call__": call, "__getattr__": attribute, "__module__": kind.__module__}
    if not kind.__module__.startswith("torch.nn"):
        space |= {
            name: _with_globals(method, tracer)
            for name, method in vars(kind).items()
            if isinstance(method, types.FunctionType) and name not in ("__init__", "__call__", "__getattr__")
        }
    return type(kind.__name__, (kind,), space)


def _with_globals(method: types.FunctionType, tracer: fx.Tracer) -> types.FunctionType:
    """Return the same function, seeing symbolic versions of ``math`` and of what `torch.fx.wrap` names."""
    from torch.fx import _symbolic_trace

    wrapped = {
        name for (_, name), space in _symbolic_trace._wrapped_fns_to_patch.items() if space is method.__globals__
    }
    seen = dict(method.__globals__)
    for name, value in method.__globals__.items():
        if value is math:
            own = {key: _symbolic(item, tracer) if callable(item) else item for key, item in vars(math).items()}
            seen[name] = types.SimpleNamespace(**own)
        elif (name in wrapped or getattr(value, "__module__", None) == "math") and callable(value):
            seen[name] = _symbolic(value, tracer)
    found = types.FunctionType(method.__code__, seen, method.__name__, method.__defaults__, method.__closure__)
    found.__kwdefaults__ = method.__kwdefaults__
    return found


def _symbolic(function: Callable[..., Any], tracer: fx.Tracer) -> Callable[..., Any]:
    """Return a function that becomes one operation of the graph where it is given symbols."""
    from torch import fx
    from torch.utils import _pytree

    @functools.wraps(function)
    def followed(*positional: Any, **named: Any) -> Any:
        if any(isinstance(value, fx.Proxy) for value in _pytree.tree_leaves((positional, named))):
            return tracer.create_proxy("call_function", function, positional, named)
        return function(*positional, **named)

    return followed
