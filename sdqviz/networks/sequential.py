"""Networks whose middle is a row of blocks, each given what the one before it made: transformers, for the most part."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from sdqviz.networks.recorder import shadow

if TYPE_CHECKING:
    from torch import Tensor, nn

PLAIN = (int, float, bool, str, type(None))
"""What a block may be given beside tensors; anything else may remember earlier passes, and is left out."""


@dataclasses.dataclass(frozen=True, eq=False)
class Given:
    """What a block is given: what comes from the block before, and the rest, which is the same for all of them.

    Attributes
    ----------
    hidden : Tensor
        The first argument.
    rest : tuple
        The other positional ones.
    named : mapping of str to object
        The named ones.
    """

    hidden: Tensor
    rest: tuple[Any, ...]
    named: Mapping[str, Any]

    def to(self, block: nn.Module) -> Any:
        """Pass a copy to a block, which may write into it, and return what it returns."""
        return block(self.hidden.clone(), *self.rest, **self.named)

    def through(self, block: nn.Module) -> Given:
        """Return what the next block is given."""
        import torch

        with torch.no_grad():
            return dataclasses.replace(self, hidden=_first(self.to(block)))


@dataclasses.dataclass(frozen=True, eq=False)
class Blocks:
    """The row of blocks of a module.

    Attributes
    ----------
    paths : tuple of str
        Where the blocks are, in order.
    nested : bool
        Whether each returns a tuple whose first entry goes to the next.
    """

    paths: tuple[str, ...]
    nested: bool = False

    def of(self, name: str) -> int | None:
        """Return which block a layer is in; None for one outside of them."""
        return next((place for place, path in enumerate(self.paths) if name.startswith(f"{path}.")), None)

    def given(self, module: nn.Module, forward: Callable[[nn.Module], Any]) -> Given:
        """Run a module as far as its first block, and return what that is given."""
        own = shadow(module)
        own.get_submodule(self.paths[0]).register_forward_pre_hook(_catch, with_kwargs=True)
        try:
            forward(own)
        except _CaughtError as caught:
            return caught.given
        raise LookupError("the data pass the first block by")

    def rest(self, module: nn.Module) -> tuple[nn.Module, Callable[[Tensor], None]]:
        """Return the module with its blocks left out, and what says which tensor leaves the last of them."""
        own = shadow(module)
        left: list[Tensor] = []
        for place, path in enumerate(self.paths):
            last = place == len(self.paths) - 1
            block = own.get_submodule(path)
            block.forward = self._bypass(left if last else None)

        def set_left(hidden: Tensor) -> None:
            left[:] = [hidden]

        return own, set_left

    def _bypass(self, left: list[Tensor] | None) -> Callable[..., Any]:
        """Return what takes a block's place: as if it changed nothing, or had made what was left."""

        def forward(hidden: Tensor, *_: Any, **__: Any) -> Any:
            found = hidden if left is None else left[0]
            return (found,) if self.nested else found

        return forward  # a function: a copy of the module shares it


def find_blocks(module: nn.Module, names: Collection[str], forward: Callable[[nn.Module], Any]) -> Blocks | None:
    """Return the row of blocks that holds most layers, if a pass shows that it is one; None otherwise.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    names : collection of str
        Its layers.
    forward : callable
        Given a module, passes a batch through it.
    """
    from torch import nn

    best: tuple[int, Blocks] | None = None
    for path, part in module.named_modules():
        if not isinstance(part, nn.ModuleList | nn.Sequential) or len(part) < 2:
            continue
        if len({type(block) for block in part}) != 1:
            continue
        found = Blocks(tuple(f"{path}.{name}" if path else name for name, _ in part.named_children()))
        count = sum(found.of(name) is not None for name in names)
        if count and (best is None or count > best[0]):
            best = count, found
    nested = None if best is None else _in_a_row(module, best[1], forward)
    return None if best is None or nested is None else dataclasses.replace(best[1], nested=nested)


def _in_a_row(module: nn.Module, blocks: Blocks, forward: Callable[[nn.Module], Any]) -> bool | None:
    """Return whether blocks that a pass goes through in a row return tuples; None if they are no such row."""
    own = shadow(module)
    seen: list[tuple[int, Any, Any]] = []
    for place, path in enumerate(blocks.paths):

        def note(_: nn.Module, given: Any, named: Any, output: Any, place: int = place) -> None:
            seen.append((place, (given, named), output))

        own.get_submodule(path).register_forward_hook(note, with_kwargs=True)
    try:
        forward(own)
    except Exception:  # a user's forward may fail on a copy in any way; it is then run as it is
        return None
    if [place for place, _, _ in seen] != list(range(len(blocks.paths))) or not seen[0][1][0]:
        return None
    _, (positional, named), _ = seen[0]
    for (_, _, before), (_, (given, own_named), _) in itertools.pairwise(seen):
        if not given or given[0] is not _first(before):
            return None
        if not _same(positional[1:], given[1:]) or not _same(named, own_named):
            return None
    return isinstance(seen[0][2], tuple | list)


def _same(one: Any, other: Any) -> bool:
    """Whether blocks are given the same beside what passes through them."""
    import torch

    if isinstance(one, Mapping):
        return isinstance(other, Mapping) and set(one) == set(other) and all(_same(one[k], other[k]) for k in one)
    if isinstance(one, tuple | list):
        if not isinstance(other, tuple | list) or len(one) != len(other):
            return False
        return all(_same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.shape == other.shape and bool((one == other).all())
    return one is other or one == other if isinstance(one, PLAIN) else True


def _first(output: Any) -> Any:
    return output[0] if isinstance(output, tuple | list) else output


class _CaughtError(Exception):
    """Ends a pass at the first block, and carries what that is given."""

    def __init__(self, given: Given) -> None:
        super().__init__()
        self.given = given


def _catch(_: nn.Module, positional: tuple[Any, ...], named: Mapping[str, Any]) -> None:
    hidden, *rest = positional
    raise _CaughtError(Given(hidden.clone(), _plain(tuple(rest)), {key: _plain(value) for key, value in named.items()}))


def _plain(value: Any) -> Any:
    """Return what may be given again: tensors, numbers, texts; what may remember earlier passes becomes None."""
    import torch

    if isinstance(value, tuple):
        return tuple(_plain(item) for item in value)
    return value if isinstance(value, (torch.Tensor, *PLAIN)) else None
