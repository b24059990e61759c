"""Random numbers that a module draws in its forward: the same in every pass, and nobody else's disturbed."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

_LOCK = threading.Lock()
"""Held while torch's one generator is another's: for one operation at a time."""

_TURN = threading.RLock()
"""Held while the generators of numpy and Python are another's: a whole pass, for each draw goes straight to them."""


def own_random_numbers(seed: int = 0) -> Any:
    """Give every random operation of torch on this thread a generator of its own, begun at ``seed``.

    A context manager; ``drawn`` of what it gives says whether numbers were drawn, and ``selected`` whether rows were
    picked by their values. The generator that everybody shares
    is where it was after each operation, so that neither a user's own random numbers nor another thread's depend on a
    pass.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Own(TorchDispatchMode):  # type: ignore[no-untyped-call]
        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            return False  # nothing here is compiled, and to be told so torch would load its compiler

        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.drawn = self.selected = False
            self.state = torch.Generator().manual_seed(seed).get_state()
            self.given: dict[torch.Generator, torch.Generator] = {}

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if torch.Tag.dynamic_output_shape in function.tags:
                self.selected = self.selected or not _whole_numbers(args)
            if torch.Tag.nondeterministic_seeded not in function.tags:
                return function(*args, **(kwargs or {}))
            given = kwargs.get("generator") if kwargs else None
            if given is not None:  # one of the module's own: what it would draw, from a copy that is let go of
                self.drawn = True
                if given not in self.given:
                    self.given[given] = torch.Generator(given.device)
                    self.given[given].set_state(given.get_state())
                return function(*args, **{**kwargs, "generator": self.given[given]})
            with _LOCK:
                outside = torch.get_rng_state()
                torch.set_rng_state(self.state)
                try:
                    return function(*args, **(kwargs or {}))
                finally:
                    after = torch.get_rng_state()
                    self.drawn = self.drawn or not torch.equal(after, self.state)
                    self.state = after
                    torch.set_rng_state(outside)

    return Own()


def _whole_numbers(arguments: Any) -> bool:
    """Whether an operation whose result's size may depend on the data is given places, whose number is known."""
    import torch

    picked = arguments[1] if len(arguments) > 1 and isinstance(arguments[1], tuple | list) else ()
    return bool(picked) and all(
        not isinstance(one, torch.Tensor) or one.dtype not in (torch.bool, torch.uint8) for one in picked
    )


@dataclasses.dataclass
class Drawn:
    """Whether a pass drew from the generators of numpy or Python; known when it is over."""

    drawn: bool = False


@contextlib.contextmanager
def global_random_numbers(seed: int = 0) -> Iterator[Drawn]:
    """Begin the generators that numpy and Python keep for everybody at ``seed``, and put them back afterwards.

    Passes that need it take turns, so that threads of ours never draw each other's numbers; a thread outside that draws
    meanwhile gets numbers of ours, and its own place in the sequence back.
    """
    told = Drawn()
    with _TURN:
        before = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002 - these are what the module uses
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        begun = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
        try:
            yield told
        finally:
            told.drawn = random.getstate() != begun[1] or not _same(begun[0], np.random.get_state(legacy=False))  # noqa: NPY002
            np.random.set_state(before[0])  # noqa: NPY002
            random.setstate(before[1])


def _same(one: Any, other: Any) -> bool:
    key, place = one["state"]["key"], one["state"]["pos"]
    return place == other["state"]["pos"] and np.array_equal(key, other["state"]["key"])
