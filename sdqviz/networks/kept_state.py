"""What a module keeps from one pass to the next, put back after each: no pass may depend on those before it."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

_TURN = threading.RLock()
"""Held during a pass whose traces are put back: whoever passes through the same module meanwhile would meet them."""


@dataclasses.dataclass
class Kept:
    """Whether a pass left traces in its module; known when it is over."""

    changed: bool = False


@contextlib.contextmanager
def put_back(module: nn.Module) -> Iterator[Kept]:
    """Let a pass change attributes and buffers of a module and its parts, and put them back afterwards.

    Such are counters, caches of earlier results, and running states: buffers and tensors by their values, other
    attributes by what they are, lists, dicts and sets also by their entries. Such passes take turns.

    Parameters
    ----------
    module : torch.nn.Module
        What the pass goes through. Parameters and modules that it adds stay.
    """
    told = Kept()
    with _TURN:
        parts = [_Part(part) for part in module.modules()]
        try:
            yield told
        finally:
            told.changed = any([part.put_back() for part in parts])


class _Part:
    """One module as it was."""

    def __init__(self, part: nn.Module) -> None:
        self.part = part
        self.attributes = _attributes(part)
        self.contents = {key: copy.copy(one) for key, one in self.attributes.items() if type(one) in (list, dict, set)}
        self.buffers = dict(part._buffers)
        held = [*self.attributes.values(), *self.buffers.values()]
        self.values = [(one, one.detach().clone()) for one in held if _is_tensor(one)]

    def put_back(self) -> bool:
        """Make it so again; return whether it was not."""
        found, now = vars(self.part), _attributes(self.part)
        changed = _restore(found, now, self.attributes) | _restore(
            self.part._buffers, dict(self.part._buffers), self.buffers
        )
        for key, before in self.contents.items():
            own = self.attributes[key]
            if not _alike(own, before):
                changed = True
                own.clear()
                (own.extend if isinstance(own, list) else own.update)(before)
        for tensor, before in self.values:
            if not _equal(tensor, before):
                changed = True
                tensor.detach().copy_(before)
        return changed


def _attributes(part: nn.Module) -> dict[str, Any]:
    """Return the attributes of a module that torch has not given it."""
    from torch import nn

    own = vars(nn.Module())
    return {key: value for key, value in vars(part).items() if key not in own}


def _restore(place: Any, now: dict[str, Any], before: dict[str, Any]) -> bool:
    """Give a dict the values it had, but for keys that are in neither; return whether it had others."""
    changed = False
    for key in now.keys() - before.keys():
        del place[key]
        changed = True
    for key, value in before.items():
        if key not in now or now[key] is not value:
            place[key] = value
            changed = True
    return changed


def _alike(one: Any, other: Any) -> bool:
    """Whether two containers hold the same objects."""
    if isinstance(one, set):
        return bool(one == other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(value is other[key] for key, value in one.items())
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


def _equal(one: Tensor, other: Tensor) -> bool:
    import torch

    if one.layout != torch.strided:
        return True  # nobody counts in sparse tensors
    return one.shape == other.shape and bool(((one == other) | ((one != one) & (other != other))).all())  # noqa: PLR0124


def _is_tensor(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor) and not value.is_meta
