"""A way through a row of blocks: activations wait in front of one block, which is run again for each of its layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sdqviz.methods.calibrated.streams import Rerun, same_parts
from sdqviz.methods.calibrated.waiting import Waiting
from sdqviz.networks.forward import Forward
from sdqviz.networks.recorder import Recorder
from sdqviz.networks.sequential import Blocks, Given

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclasses.dataclass(frozen=True)
class _Key:
    name: str


HIDDEN, REST, NAMED = _Key("hidden"), _Key("rest"), _Key("named")


class BlockByBlock:
    """Runs the blocks one after the other; between them each batch's activations wait, in memory or on disk."""

    def __init__(
        self, blocks: Blocks, original: nn.Module, compressed: nn.Module, data: Sequence[Any], wanted: Sequence[str],
        passes: Forward, store_bytes: int,
    ) -> None:  # fmt: skip
        self._blocks, self._modules, self._data, self._passes = blocks, (original, compressed), data, passes
        self._outside = [name for name in wanted if blocks.of(name) is None]
        self._within = [name for name in wanted if blocks.of(name) is not None]
        self._before = Rerun(original, compressed, data, self._outside, passes)
        self._order = list(wanted)
        self._at = -1
        self._agree = True
        self._waiting = Waiting(store_bytes)
        self._rests: dict[int, tuple[Recorder, Callable[[Tensor], None]]] = {}

    def reproduces(self, batch: Any, expected: Any) -> bool:
        """Whether the blocks one after the other give what the module gives."""
        module = self._modules[0]
        try:
            given = self._blocks.given(module, lambda own: self._passes.raw(own, batch))
            for path in self._blocks.paths:
                given = given.through(module.get_submodule(path))
            rest, leave = self._blocks.rest(module)
            leave(given.hidden)
            return same_parts(expected, self._passes.raw(rest, batch))
        except Exception:  # blocks that cannot be run one by one are no use, whatever the reason
            return False

    def inputs(self, name: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Run every batch on to the block of the layer, and that as far as the layer."""
        place = self._blocks.of(name)
        if place is None:
            behind = any(self._order.index(name) > self._order.index(inner) for inner in self._within)
            yield from self._behind(name) if behind else self._before.inputs(name)
            return
        begin, self._at = self._at, place
        inner = name[len(self._blocks.paths[place]) + 1 :]
        recorders: dict[int, Recorder] = {}
        for number, batch in enumerate(self._data):
            pair = self._advanced(number, batch, begin, place)
            entering = [self._reach(recorders, which, place, inner, given) for which, given in enumerate(pair) if given]
            yield entering[0], entering[-1]
            del entering
            self._put(number, pair)
            del pair  # before the next batch is there

    def part(self) -> None:
        """Run the compressed network too from here on."""
        self._agree = False
        self._before.part()

    def block(self, name: str) -> int | None:
        """Return in which block a layer is, None outside of all."""
        return self._blocks.of(name)

    def passed(self, name: str) -> bool:
        """Whether the data are beyond the block of a layer."""
        place = self._blocks.of(name)
        return place is not None and place < self._at

    def close(self) -> None:
        """Let go of the activations, in memory and on disk."""
        self._waiting.close()

    def _advanced(self, number: int, batch: Any, begin: int, end: int) -> tuple[Given, Given | None]:
        """Return what a block is given in both networks; in one as long as they agree."""
        if begin < 0:
            first, second = self._start(0, batch), None if self._agree else self._start(1, batch)
        else:
            first, second = self._take(number)
            if second is None and not self._agree:
                second = dataclasses.replace(first, hidden=first.hidden.clone())
        for path in self._blocks.paths[max(begin, 0) : end]:
            first = first.through(self._modules[0].get_submodule(path))
            if second is not None:
                second = second.through(self._modules[1].get_submodule(path))
        return first, second

    def _start(self, which: int, batch: Any) -> Given:
        return self._blocks.given(self._modules[which], lambda own: self._passes.raw(own, batch))

    def _reach(self, recorders: dict[int, Recorder], which: int, place: int, inner: str, given: Given) -> Tensor:
        if which not in recorders:
            block = self._modules[which].get_submodule(self._blocks.paths[place])
            recorders[which] = Recorder(block, [inner], outputs=False)
        return recorders[which].reach(given.to, inner)

    def _behind(self, name: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield what enters a layer that lies behind the blocks."""
        end = len(self._blocks.paths)
        begin, self._at = self._at, end
        for number, batch in enumerate(self._data):
            pair = self._advanced(number, batch, begin, end)
            entering = [self._rest(which, name, batch, given) for which, given in enumerate(pair) if given]
            yield entering[0], entering[-1]
            del entering
            self._put(number, pair)
            del pair  # before the next batch is there

    def _rest(self, which: int, name: str, batch: Any, given: Given) -> Tensor:
        if which not in self._rests:
            module, leave = self._blocks.rest(self._modules[which])
            recorder = Recorder(module, self._outside, outputs=False)
            self._rests[which] = recorder, leave
        recorder, leave = self._rests[which]
        leave(given.hidden)
        return recorder.reach(lambda module: self._passes.raw(module, batch), name)

    def _put(self, number: int, pair: tuple[Given, Given | None]) -> None:
        values = [None if one is None else {HIDDEN: one.hidden, REST: one.rest, NAMED: dict(one.named)} for one in pair]
        self._waiting.put(number, (values[0], values[1]))

    def _take(self, number: int) -> tuple[Given, Given | None]:
        first, second = self._waiting.take(number)
        return _given(first), None if second is None else _given(second)


def _given(values: Mapping[_Key, Any]) -> Given:
    return Given(values[HIDDEN], values[REST], values[NAMED])
