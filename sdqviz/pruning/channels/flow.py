"""Follows the channels of a traced network from operation to operation; the rules lie in channel_layers and _moves."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from sdqviz.error import InputError
from sdqviz.pruning.channels.labels import (
    NONE,
    Block,
    Labels,
    Numbers,
    Part,
    Role,
    Value,
    along,
    is_value,
    leaves,
    varying,
)  # fmt: skip
from sdqviz.pruning.removal import layer_of

Given = Mapping[str, Any]
"""The arguments of an operation by name, tensors as values."""

Rule = Callable[["Flow", fx.Node, Given], Any]
"""Says what an operation does with channels: arguments in, value or list of values out."""

RULES: dict[str, Rule] = {}
"""The rules by operation, ``"aten::conv2d"``; filled by `rule`."""

MOST_NUMBERS = 1 << 20
"""Entries of a tensor without channels whose values are still computed along, for indices and scales."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register the rule of some operations, each named without overload."""

    def register(function: Rule) -> Rule:
        for name in names:
            RULES[f"aten::{name}"] = function
        return function

    return register


class Flow:
    """One walk through a traced graph.

    Parameters
    ----------
    tensors : dict of str to (str, Tensor, bool)
        By name of the placeholder: the canonical path of the parameter or buffer, the tensor, and whether it is
        a parameter.
    modules : dict of str to Module
        By path.
    constants : dict of str to Tensor
        By name of the placeholder: tensors that are neither parameters nor buffers nor inputs.
    heads : dict of str to int
        By path of a module: where its channels are split into several dimensions, how many dimensions before the last
        one the units lie: 1 for whole heads, not slices of every head; the last one where a module is not named.
    """

    def __init__(
        self, tensors: Mapping[str, tuple[str, Tensor, bool]], modules: Mapping[str, nn.Module],
        constants: Mapping[str, Tensor], heads: Mapping[str, int],
    ) -> None:  # fmt: skip
        self.tensors, self.constants, self.heads = tensors, constants, heads
        self.classes = {path: type(part).__name__ for path, part in modules.items()}
        self.kinds = {path: kind_of(part) for path, part in modules.items()}
        self.labels = Labels()
        self.vertices: list[tuple[str, str]] = []  # name, kind
        self.edges: set[tuple[int, int]] = set()
        self.owned: dict[str, set[str]] = {}  # layer -> single numbers of its quantizers
        self.biases: dict[str, str] = {}  # weight -> bias
        self.norms: dict[str, tuple[str, int]] = {}  # module of a norm over channels -> (weight, its entries)
        self.rescaled: dict[str, Numbers] = {}  # weight -> rows scaled by the root of the width of a head
        self.queries: list[tuple[fx.Node, str]] = []  # attention that scales so, and the weight of its queries
        self.splits: dict[str, list[tuple[Numbers, int]]] = {}  # module -> channels it splits, into how many dimensions
        self.ways: dict[str, list[Numbers]] = {}  # module -> labels of channels that pass through it
        self.uses: dict[str, list[frozenset[str]]] = {}  # weight -> for each use the numbers of its quantizer
        self._stuck: dict[str, str] = {}  # parameters that must stay as they are, and why
        self._unknown_layers: dict[tuple[str, int], Block] = {}
        self.values: dict[fx.Node, Any] = {}
        self._bases: dict[fx.Node, fx.Node] = {}  # view -> the tensor it is a part of

    # -- the walk ---------------------------------------------------------------------------------

    def run(self, graph: fx.Graph) -> None:
        """Walk through all nodes in order.

        Raises
        ------
        InputError
            If a node is no operation on tensors; it is named.
        """
        for node in graph.nodes:
            if node.op == "placeholder":
                self.values[node] = self._input(node)
            elif node.op == "output":
                for value in leaves(self._resolve(node.args)):
                    if isinstance(value, Value):
                        self.keep(value, "the channels reach the output of the network")
            elif node.op == "call_function":
                self.values[node] = self._call(node)
            else:
                self.values[node] = None  # get_attr: a constant or a graph of its own, refused where it is used
                if isinstance(node.meta.get("val"), Tensor):
                    self.values[node] = Value(tuple(node.meta["val"].shape))
        for block in self.labels.blocks.values():
            if block.path in self._stuck:
                self.labels.keep(block.labels, self._stuck[block.path])

    def _input(self, node: fx.Node) -> Any:
        known = self.tensors.get(str(node.target))
        if known is None:
            constant = self.constants.get(node.name)
            number = constant.detach() if constant is not None and constant.numel() <= MOST_NUMBERS else None
            return Value(tuple(node.meta["val"].shape), number=number)
        path, tensor, trained = known
        shape = tuple(tensor.shape)
        number = tensor.detach() if tensor.numel() == 1 or (not trained and tensor.numel() <= MOST_NUMBERS) else None
        single = frozenset([path]) if tensor.numel() == 1 and trained else frozenset[str]()
        part = Part(path, shape, None, trained)
        return Value(shape, parts=(part,), zero=np.array([trained]), number=number, attached=single)

    def _call(self, node: fx.Node) -> Any:
        target = node.target
        if target is getattr and node.args[1] == "shape":
            return self._resolve(node.args[0]).shape
        if getattr(target, "__name__", "") == "getitem":
            return self._resolve(node.args[0])[node.args[1]]
        if not isinstance(target, torch._ops.OpOverload):
            raise InputError(
                f"network must be made of tensor operations without control flow of its own, got {target} (node {node})"
            )
        given = self._given(node)
        packet = target._schema.name
        written = next((a.name for a in target._schema.arguments if a.alias_info and a.alias_info.is_write), None)
        name = packet[:-1] if written and packet.endswith("_") and not packet.endswith("__") else packet
        handler = RULES.get(packet) or RULES.get(name)
        if handler is None and torch.Tag.pointwise in target.tags:
            handler = RULES["aten::pointwise"]
        result = self.unknown(node) if handler is None else handler(self, node, given)
        result = self._numbered(node, result)
        passed = [value.labels for value in leaves(result) if isinstance(value, Value) and value.labelled]
        self.ways.setdefault(node.meta["path"], []).extend(passed)
        if written:
            self._overwrite(node, given, written, result)
        elif any(a.alias_info for a in target._schema.returns):
            base = node.all_input_nodes[0]
            self._bases[node] = self._bases.get(base, base)
        return result

    def _given(self, node: fx.Node) -> dict[str, Any]:
        arguments = node.target._schema.arguments  # type: ignore[union-attr]
        given: dict[str, Any] = {a.name: a.default_value for a in arguments if a.has_default_value()}
        given.update({a.name: self._resolve(v) for a, v in zip(arguments, node.args, strict=False)})
        given.update({key: self._resolve(v) for key, v in node.kwargs.items()})
        return given

    def _resolve(self, argument: Any) -> Any:
        if isinstance(argument, fx.Node):
            return self.values[argument]
        if isinstance(argument, tuple | list):
            return [self._resolve(one) for one in argument]
        return argument

    def _overwrite(self, node: fx.Node, given: Given, written: str, result: Any) -> None:
        """After an operation in place the old name stands for the new value too; parts of others are refused."""
        changed = node.args[0]
        if not isinstance(changed, fx.Node):
            return
        root = self._bases.get(changed, changed)
        family = [root, *(view for view, base in self._bases.items() if base is root)]
        if all(isinstance(one, Value) and one.parts for one in (result, *(self.values.get(one) for one in family))):
            return  # entries of a parameter's copy are other numbers now, and still its entries
        later = [one for one in family if one is not changed and any(user > node for user in one.users)]
        if later:  # others see the change too, in a part or another shape of their own
            for value in (given[written], result, *(self.values.get(one) for one in family)):
                if isinstance(value, Value):
                    self.keep(value, f"{self.place(node)} changes a tensor in place that others use")
        self.values[changed] = result

    def _numbered(self, node: fx.Node, result: Any) -> Any:
        """Compute a small value along where all that goes into it is known."""
        if not isinstance(result, Value) or result.labelled or result.number is not None:
            return result
        if result.size > MOST_NUMBERS or torch.Tag.nondeterministic_seeded in node.target.tags:  # type: ignore[union-attr]
            return result
        if any(value.number is None for value in self.operands(node)):
            return result
        if not isinstance(node.meta.get("val"), Tensor):
            return result

        def number(argument: Any) -> Any:
            if isinstance(argument, fx.Node):
                value = self.values[argument]
                return value.number.clone() if isinstance(value, Value) and value.number is not None else value
            if isinstance(argument, tuple | list):
                return type(argument)(number(one) for one in argument)
            return argument

        try:
            with torch.no_grad():
                found = node.target(  # type: ignore[operator]
                    *(number(a) for a in node.args), **{k: number(a) for k, a in node.kwargs.items()}
                )
        except (RuntimeError, TypeError, NotImplementedError):  # not worth more than the shape, which is known
            return result
        return result.replaced(number=found) if isinstance(found, Tensor) else result

    # -- what the rules use -------------------------------------------------------------------------

    def place(self, node: fx.Node) -> str:
        """Say which operation of which module a node is."""
        name = getattr(node.target, "_schema", None)
        operation = name.name.removeprefix("aten::") if name is not None else str(node.target)
        path = node.meta.get("path", "")
        return f"{operation} in {path}" if path else operation

    def shapes(self, node: fx.Node) -> list[tuple[int, ...]]:
        """Return the shapes of the tensors a node gives.

        Raises
        ------
        InputError
            If it gives something else.
        """
        found = node.meta.get("val")
        many = found if isinstance(found, tuple | list) else [found]
        shapes = []
        for one in many:
            if not isinstance(one, Tensor) or not all(isinstance(n, int) for n in one.shape):
                raise InputError(
                    "network must be made of tensors whose shapes do not depend on their values, "
                    f"got the result of {self.place(node)} (node {node})"
                )
            shapes.append(tuple(one.shape))
        return shapes

    def shape(self, node: fx.Node) -> tuple[int, ...]:
        """Return the shape of the one tensor a node gives."""
        return self.shapes(node)[0]

    def unknown(self, node: fx.Node) -> Any:
        """Refuse the channels that go into an operation without a rule: they are kept."""
        return self.refuse(node, f"{self.place(node)} is not known to act on channels one by one")

    def operands(self, node: fx.Node) -> list[Value]:
        """Return the tensors that go into a node, in its own order."""
        return [value for value in leaves(self._resolve([*node.args, *node.kwargs.values()])) if is_value(value)]

    def refuse(self, node: fx.Node, because: str) -> Any:
        """Keep the channels of everything that goes into an operation; what comes out has none."""
        values = self.operands(node)
        for value in values:
            self.keep(value, because)
            self._unused(value, because)
        origins = frozenset[int]().union(*(v.origins for v in values))
        attached = frozenset[str]().union(*(v.attached for v in values))
        rigid = because if any(v.parts for v in values) else ""
        results = [Value(s, origins=origins, attached=attached, rigid=rigid) for s in self.shapes(node)]
        return results if isinstance(node.meta["val"], tuple | list) else results[0]

    def _unused(self, value: Value, because: str) -> None:
        """Enter the weights that go into an unknown operation, so that their layer is seen to be kept."""
        for part in value.parts:
            if len(part.shape) > 1 and part.trained:
                block = self.block(part.path, 0, part.shape[0], "produces", zeroed=False)
                first = self._unknown_layers.setdefault((layer_of(part.path), block.size), block)
                self.labels.tie(first.labels, block.labels)
                self.labels.keep(block.labels, because)

    def keep(self, value: Value, because: str) -> None:
        """Keep all channels of a value, and all dimensions of the parameters it consists of."""
        if value.labelled:
            self.labels.keep(value.labels, because)
        for part in value.parts:
            self._stuck.setdefault(part.path, because)

    def live(self, node: fx.Node, value: Value) -> None:
        """Keep the channels of a value that would not be zero when their parameters are."""
        why = f"{value.unzero or 'an operation'} does not leave zero where {self.place(node)} needs it"
        self.labels.keep(np.where(value.zero, NONE, value.labels), why)

    def block(self, path: str, dim: int, size: int, role: Role, *, zeroed: bool) -> Block:
        """Return the labels of one dimension of a tensor."""
        return self.labels.block(path, dim, size, role, zeroed=zeroed)

    def labels_of(self, value: Value, axis: int, role: Role) -> Numbers | None:
        """Return the labels of a parameter along a dimension of the value; None where it does not run along it.

        A parameter that was moved must still have one of its dimensions along the axis, and no other.
        """
        found: Numbers | None = None
        largest = max((math.prod(part.shape) for part in value.parts), default=0)
        for part in value.parts:
            lies = along(part, value.shape, axis)
            if lies is None:
                continue
            dim, where = lies
            # what scales a weight, such as a quantizer's steps, is cut with it; zeroing the weight is enough
            zeroed = part.trained and role != "consumes" and math.prod(part.shape) == largest
            labels = NONE * np.ones(value.shape[axis], np.int64)
            if dim >= 0:
                block = self.block(part.path, dim, part.shape[dim], role, zeroed=zeroed)
                labels = np.where(where < 0, NONE, block.start + where)
            else:
                for other in range(len(part.shape)):
                    block = self.block(part.path, other, part.shape[other], role, zeroed=zeroed)
                    self.labels.keep(block.labels, f"parameter {part.path} is laid out in a way that cannot be cut")
            if value.rigid:
                self.labels.keep(labels, value.rigid)
            if found is not None:
                self.labels.tie(found, labels)
                found = np.where(found < 0, labels, found)  # parameters one after another
            else:
                found = labels
        return found

    def carried(self, value: Value, axis: int) -> Value:
        """Return a bare parameter as a value with channels along an axis."""
        labels = self.labels_of(value, axis, "carries")
        if labels is None:
            return value
        zero = np.full(len(labels), bool(value.zero.all()))
        return Value(
            value.shape, axis, labels, zero, f"buffer {value.parts[0].path}", origins=value.origins,
            attached=value.attached,
        )  # fmt: skip

    def settled(self, node: fx.Node, codes: Tensor, like: Value) -> Value:
        """Turn labels that were moved into a value: ties what must go together so that cutting leaves whole slices."""
        dims = varying(codes)
        if not dims:
            codes_flat = codes.flatten()[:1].numpy() if codes.numel() else np.zeros(0, np.int64)
            self.labels.keep(codes_flat // 2, f"{self.place(node)} takes out a single channel")
            return like.plain(codes.shape)
        path = node.meta["path"]
        axis = dims[max(len(dims) - 1 - max(self.heads.get(path, 0), 0), 0)]
        labels, zero = self.lined(codes, axis, f"{self.place(node)} mixes channels with other entries")
        if len(dims) > 1:
            self.splits.setdefault(path, []).append((labels, len(dims)))
        return Value(
            tuple(codes.shape), axis, labels, zero, like.unzero, origins=like.origins, attached=like.attached
        )  # fmt: skip

    def lined(self, codes: Tensor, axis: int, because: str) -> tuple[Numbers, Any]:
        """Tie all entries of a slice along an axis; return labels and flags of the slices."""
        others = [d for d in range(codes.ndim) if d != axis]
        compact = codes
        for dim in others:  # slices that repeat need not be compared again
            if compact.stride(dim) == 0 or compact.shape[dim] == 1:
                compact = compact.narrow(dim, 0, 1)
        rows = compact.movedim(axis, -1).reshape(-1, codes.shape[axis]).numpy()
        labels = np.where(rows < 0, NONE, rows // 2)
        best = labels.max(axis=0)
        self.labels.tie(best[None], labels)
        self.labels.keep(np.where((labels < 0).any(axis=0), best, NONE), because)
        return best, ~((rows % 2 == 1) & (rows >= 0)).any(axis=0)

    # -- the drawn graph -----------------------------------------------------------------------------

    def vertex(self, name: str, kind: str, *sources: Value) -> frozenset[int]:
        """Enter a layer or a joining operation with its edges; return it as the origin of what it gives."""
        if (name, kind) not in self.vertices:
            self.vertices.append((name, kind))
        here = self.vertices.index((name, kind))
        for value in sources:
            self.edges.update((origin, here) for origin in value.origins if origin != here)
        return frozenset([here])

    def layer(self, weight: Value, *sources: Value) -> frozenset[int]:
        """Enter the layer that a weight belongs to, with the quantizers of what goes into it."""
        name = layer_of(weight.parts[0].path) or weight.parts[0].path
        self.uses.setdefault(weight.parts[0].path, []).append(weight.attached)
        numbers = weight.attached.union(*(v.attached for v in sources))
        self.owned.setdefault(name, set()).update(numbers)
        return self.vertex(name, self.kinds.get(name, "parameter"), *sources)

    def join(self, node: fx.Node, kind: str, values: Sequence[Value]) -> frozenset[int]:
        """Return where a value comes from that several were joined to, as a vertex of its own if they differ."""
        different = {value.origins for value in values if value.origins}
        if len(different) < 2:
            return frozenset[int]().union(*different)
        return self.vertex(node.name, kind, *values)


def kind_of(part: nn.Module) -> str:
    """Return the name of the class of a module, of a layer that was made to quantize that of the layer."""
    kinds = [kind.__name__ for kind in type(part).__mro__ if kind.__module__.startswith("torch.nn.modules.")]
    return kinds[0] if kinds and kinds[0] != "Module" else type(part).__name__
