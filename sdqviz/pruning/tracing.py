"""Records which tensor operations a network carries out, without touching anything but a copy of it.

``torch.fx`` and ``torch.export`` replace methods of ``torch.nn.Module`` and functions of ``builtins`` for the whole
process while they trace, so that a plain forward pass of another thread fails. Here a mode of the dispatcher listens,
which belongs to the thread that entered it, and hooks tell the module, which hang on a copy. In inference mode the
dispatcher hands over whole operations (``linear``, ``scaled_dot_product_attention``) rather than their parts.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import linecache
import operator
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from sdqviz.error import InputError

PATH = "path"
"""Under this name a node's ``meta`` has the path of the module that carries it out."""

READS = {"aten::item", "aten::_local_scalar_dense", "aten::is_nonzero", "aten::equal", "aten::allclose"}
"""Operations that hand a value to Python, which may then branch on it."""

NONE, WHOLE, REAL = 0, 1, 2
"""What a tensor depends on: no input; whole numbers of the input (tokens, masks) alone; real numbers."""


@dataclasses.dataclass(frozen=True, eq=False)
class Trace:
    """What a network did with an example.

    Attributes
    ----------
    graph : torch.fx.Graph
        Its operations in order; ``meta["val"]`` of a node is its result without values, ``meta["path"]`` the module.
    held : dict of str to Tensor
        By name of the placeholder: the parameter or buffer it stands for.
    constants : dict of str to Tensor
        By name of the placeholder: a tensor that is neither, nor an input.
    """

    graph: fx.Graph
    held: Mapping[str, Tensor]
    constants: Mapping[str, Tensor]


def trace(module: nn.Module, example: Any) -> Trace:
    """Run a module once and record it.

    Parameters
    ----------
    module : torch.nn.Module
        A copy that nobody else uses: hooks are put on it.
    example : tensor, tuple or dict of tensors
        Input, as for `call`.

    Raises
    ------
    InputError
        If the module does not take the example, or branches on real numbers; the line of code is named.
    """
    recorder = _Recorder(module)
    path: list[str] = recorder.path
    for name, part in module.named_modules():
        if not isinstance(part, torch.jit.ScriptModule):
            part.register_forward_pre_hook(functools.partial(_enter, path, name), prepend=True)
            part.register_forward_hook(functools.partial(_leave, path), always_call=True)
        if isinstance(part, nn.MultiheadAttention):  # else one fused operation, as if in evaluation without gradients
            part.training, part.dropout = True, 0.0
    given = copied(example)
    recorder.inputs(given)
    try:
        with torch.inference_mode(), recorder:
            result = call(module, given)
    except _BranchError as error:
        raise InputError(
            f"network must take the example and be without control flow that depends on values, got {error}"
        ) from None
    except InputError:
        raise
    except Exception as error:  # whatever a network's own code raises is about the example
        raise InputError(f"network must take the example, got {_why(error)}") from error
    finally:
        recorder.restore()
    recorder.outputs(tensors(result))
    return Trace(recorder.graph, recorder.held, recorder.constants)


def _enter(path: list[str], name: str, *_: Any) -> None:
    path.append(name)


def _leave(path: list[str], *_: Any) -> None:
    path.pop()


def call(module: nn.Module, example: Any) -> Any:
    """Return ``module(x)``, ``module(*x)`` or ``module(**x)``."""
    if isinstance(example, Mapping):
        return module(**example)
    return module(*example) if isinstance(example, tuple | list) else module(example)


def copied(nested: Any) -> Any:
    """Return an example whose tensors are copies: a forward pass may write into its input."""
    return mapped(nested, lambda tensor: tensor.detach().clone())


def mapped(nested: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Return an example with a function applied to its tensors."""
    if isinstance(nested, Tensor):
        return function(nested)
    if isinstance(nested, Mapping):
        return {key: mapped(one, function) for key, one in nested.items()}
    return type(nested)(mapped(one, function) for one in nested) if type(nested) in (tuple, list) else nested


def tensors(result: Any) -> list[Tensor]:
    """Return the floating tensors that a module's output consists of.

    Mappings, lists, tuples and dataclasses are looked through, and the attributes of an object that is handed back
    by itself. Objects inside these, such as caches of keys and values, are the network's own business: they get
    smaller with it.
    """
    found = list(_leaves(result))
    return found or list(_leaves(vars(result) if hasattr(result, "__dict__") else None))


def _leaves(nested: Any) -> Iterator[Tensor]:
    if isinstance(nested, Tensor):
        if nested.is_floating_point():
            yield nested
    elif isinstance(nested, Mapping):
        yield from (leaf for one in nested.values() for leaf in _leaves(one))
    elif isinstance(nested, tuple | list):
        yield from (leaf for one in nested for leaf in _leaves(one))
    elif dataclasses.is_dataclass(nested) and not isinstance(nested, type):
        yield from (leaf for one in dataclasses.fields(nested) for leaf in _leaves(getattr(nested, one.name, None)))


class _BranchError(Exception):
    """Raised where a network's own code asks for the value of a tensor; tells the line."""


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes every operation of this thread into a graph and lets it happen."""

    supports_higher_order_operators = True  # they come here to be refused by name

    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph = fx.Graph()
        self.held: dict[str, Tensor] = {}
        self.constants: dict[str, Tensor] = {}
        self.path: list[str] = []
        self._own = {id(one) for one in (*module.parameters(), *module.buffers())}
        self._nodes: Any = WeakTensorKeyDictionary()
        self._depends: dict[fx.Node, int] = {}
        self._random: Tensor | None = None

    def inputs(self, nested: Any) -> None:
        """Enter the tensors of the example."""
        for one in _all_tensors(nested):
            self._placeholder(one, "input", REAL if one.is_floating_point() else WHOLE)

    def outputs(self, found: list[Tensor]) -> None:
        """End the graph with the output.

        Raises
        ------
        InputError
            If the output was not made of the input by tensor operations.
        """
        if not any(one in self._nodes and self._of(one) for one in found):
            raise InputError("network must make its output of its input by tensor operations, got one that was not")
        self.graph.output([self._node(one) for one in found])

    def restore(self) -> None:
        """Put the random generator back, if the network drew from it."""
        if self._random is not None:
            torch.set_rng_state(self._random)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if not isinstance(func, torch._ops.OpOverload):
            raise InputError(
                f"network must be made of tensor operations without control flow of its own, got {func.name()}"
            )
        if torch.Tag.nondeterministic_seeded in func.tags and self._random is None:
            self._random = torch.get_rng_state()
        if func._schema.name in READS and any(self._of(one) == REAL for one in _all_tensors((args, named))):
            raise _BranchError(f"{_place()}, which depends on the value of a tensor")
        before = [self._node(one) for one in _all_tensors((args, named))]
        depends = max((self._depends[node] for node in before), default=NONE)
        arguments, keywords = self._written(args), self._written(named)
        result = func(*args, **named)
        if _all_tensors(result):
            self._enter(func, arguments, keywords, result, depends)
        return result

    def _enter(self, func: Any, args: Any, kwargs: Any, result: Any, depends: int) -> None:
        node = self.graph.create_node("call_function", func, args, kwargs, func.overloadpacket.__name__)
        node.meta = {PATH: self.path[-1] if self.path else "", "val": _described(result)}
        unknown = torch.Tag.dynamic_output_shape in func.tags
        if func._schema.name == "aten::index":  # places give as many entries as there are of them, masks do not
            unknown = not all(one is None or _places(one.meta["val"]) for one in args[1])
        if depends == REAL and unknown:
            node.meta["val"] = None  # its shape depends on values
        self._place(node, result, depends)

    def _place(self, node: fx.Node, result: Any, depends: int) -> None:
        self._depends[node] = depends
        if isinstance(result, Tensor):
            self._nodes[result] = node
            self._depends[node] = REAL if depends and result.is_floating_point() else depends
            return
        for place, one in enumerate(result):
            if isinstance(one, Tensor | tuple | list):
                part = self.graph.create_node("call_function", operator.getitem, (node, place))
                part.meta = {PATH: node.meta[PATH], "val": _described(one)}
                self._place(part, one, depends)

    def _of(self, tensor: Tensor) -> int:
        return self._depends[self._node(tensor)]

    def _node(self, tensor: Tensor) -> fx.Node:
        if tensor not in self._nodes:
            own = id(tensor) in self._own
            node = self._placeholder(tensor, "held" if own else "constant", NONE)
            (self.held if own else self.constants)[node.name] = tensor
        return self._nodes[tensor]  # type: ignore[no-any-return]

    def _placeholder(self, tensor: Tensor, name: str, depends: int) -> fx.Node:
        node = self.graph.create_node("placeholder", name, (), {}, name)
        node.target = node.name
        node.meta = {PATH: "", "val": _described(tensor)}
        self._nodes[tensor] = node
        self._depends[node] = depends
        return node

    def _written(self, nested: Any) -> Any:
        """Return arguments as a graph has them: nodes in the place of tensors."""
        if isinstance(nested, Tensor):
            return self._node(nested)
        if isinstance(nested, Mapping):
            return {key: self._written(one) for key, one in nested.items()}
        if isinstance(nested, tuple | list):
            return type(nested)(self._written(one) for one in nested) if type(nested) in (tuple, list) else list(nested)
        return nested if not isinstance(nested, torch.Generator) else None


def _all_tensors(nested: Any) -> list[Tensor]:
    if isinstance(nested, Tensor):
        return [nested]
    if isinstance(nested, Mapping):
        return [leaf for one in nested.values() for leaf in _all_tensors(one)]
    return [leaf for one in nested for leaf in _all_tensors(one)] if isinstance(nested, tuple | list) else []


def _places(described: Any) -> bool:
    """Whether the tensor that an index takes holds whole numbers, as many as are known."""
    return isinstance(described, Tensor) and described.dtype not in (torch.bool, torch.uint8)


def _described(result: Any) -> Any:
    """Return a result without its values: tensors of the same shape and type that hold nothing."""
    if isinstance(result, Tensor):
        return torch.empty(result.shape, dtype=result.dtype, device="meta")
    return [_described(one) for one in result] if isinstance(result, tuple | list) else result


# -- what goes wrong, in one sentence ------------------------------------------------------------------

LONGEST_LINE = 120
"""Letters of a line of code that a message repeats."""

_OUTSIDE = (str(Path(torch.__file__).parent), str(Path(__file__)))


def _place() -> str:
    """Say which line of the network's own code is being carried out."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OUTSIDE):
        frame = frame.f_back
    code = frame.f_code
    line = linecache.getline(code.co_filename, frame.f_lineno).strip()[:LONGEST_LINE]
    return f"`{line}` in {code.co_name} ({code.co_filename}, line {frame.f_lineno})"


def _why(error: Exception) -> str:
    """Return what went wrong, and in which line of a forward."""
    text = str(error).strip() or type(error).__name__
    found, frame = "", error.__traceback__
    while frame is not None:  # the innermost forward
        code = frame.tb_frame.f_code
        if code.co_name == "forward":
            found = f" in forward ({code.co_filename}, line {frame.tb_lineno})"
        frame = frame.tb_next
    return f"{type(error).__name__}{found}: {text.splitlines()[0].rstrip('. ')}"


def shadow(module: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode that shares all tensors with a module.

    Raises
    ------
    InputError
        If the module cannot be copied.
    """
    shared: dict[int, Any] = {id(buffer): buffer for buffer in module.buffers()}
    for parameter in module.parameters():
        if parameter.is_floating_point():
            shared[id(parameter)] = nn.Parameter(parameter.detach())
    try:
        return copy.deepcopy(module, shared).eval()
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise InputError(f"module must be one that can be copied, got {type(module).__name__}: {error}") from None
