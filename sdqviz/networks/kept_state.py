"""What a module keeps from one pass to the next, put back after each: no pass may depend on those before it."""

from __future__ import annotations

import collections
import contextlib
import copy
import dataclasses
import pickle
import random
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import nn

MOST = 10_000
"""Objects that a module's attributes hold and that are looked at."""

FOREIGN = {*sys.stdlib_module_names, "torch", "numpy"}
"""Libraries whose objects are their own: locks, loggers, functions."""

GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)
"""What draws random numbers and keeps its place in their sequence."""

_TURN = threading.RLock()
"""Held during a pass whose traces are put back: whoever passes through the same module meanwhile would meet them."""


@dataclasses.dataclass
class Kept:
    """Whether a pass left traces in its module; known when it is over."""

    changed: bool = False


@contextlib.contextmanager
def put_back(module: nn.Module) -> Iterator[Kept]:
    """Let a pass change attributes and buffers of a module and its parts, and put them back afterwards.

    Such are counters, caches of earlier results, running states and generators of random numbers: buffers, tensors,
    arrays and generators by their values, other attributes by what they are, containers and objects of a module's own
    also by what they hold. They take turns.

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
        self.buffers = dict(part._buffers)
        self.held = list(_changeable([*self.attributes.values(), *self.buffers.values()]))

    def put_back(self) -> bool:
        """Make it so again; return whether it was not."""
        found, now = vars(self.part), _attributes(self.part)
        changed = _restore(found, now, self.attributes)
        changed |= _restore(self.part._buffers, dict(self.part._buffers), self.buffers)
        for own, before in self.held:
            if not _alike(own, before):
                changed = True
                _fill(own, before)
        return changed


def _changeable(values: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield what a pass may change in place among some values and what they hold, each with a copy."""
    import torch
    from torch import nn

    met: set[int] = set()
    while values and len(met) < MOST:
        one = values.pop()
        if id(one) in met or isinstance(one, nn.Module):
            continue
        met.add(id(one))
        if isinstance(one, torch.Tensor):
            if not one.is_meta and one.layout == torch.strided:
                yield one, one.detach().clone()
        elif isinstance(one, np.ndarray):
            yield one, one.copy()
        elif isinstance(one, GENERATORS):
            yield one, copy.deepcopy(one)
        elif isinstance(one, dict):
            yield one, copy.copy(one)
            values += one.values()
        elif isinstance(one, list | set | collections.deque):
            yield one, copy.copy(one)
            values += one
        elif isinstance(one, tuple):
            values += one
        elif type(one).__module__.partition(".")[0] not in FOREIGN and hasattr(one, "__dict__"):
            values.append(vars(one))


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
    """Whether two containers hold the same objects, or two arrays the same numbers."""
    import torch

    if isinstance(one, torch.Tensor | np.ndarray):
        same = one.shape == other.shape and ((one == other) | ((one != one) & (other != other))).all()  # noqa: PLR0124
        return bool(same)
    if isinstance(one, GENERATORS):
        return _place(one) == _place(other)
    if isinstance(one, set):
        return bool(one == other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(value is other[key] for key, value in one.items())
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


def _place(generator: Any) -> bytes:
    """Return where a generator is in its sequence."""
    if isinstance(generator, np.random.Generator):
        return pickle.dumps(generator.bit_generator.state)
    return pickle.dumps(generator.getstate() if isinstance(generator, random.Random) else generator.get_state())


def _fill(own: Any, before: Any) -> None:
    """Give a container, an array or a generator what its copy holds."""
    import torch

    if isinstance(own, torch.Tensor):
        own.detach().resize_(before.shape).copy_(before) if own.shape != before.shape else own.detach().copy_(before)
    elif isinstance(own, np.ndarray):
        own[...] = before
    elif isinstance(own, np.random.Generator):
        own.bit_generator.state = before.bit_generator.state
    elif isinstance(own, np.random.RandomState):
        own.set_state(before.get_state())
    elif isinstance(own, random.Random):
        own.setstate(before.getstate())
    else:
        own.clear()
        (own.update if isinstance(own, dict | set) else own.extend)(before)
