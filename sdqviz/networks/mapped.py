"""Weights that stay in their files: parameters mapped from shards, let go of in memory as soon as they were used.

Only a network that is compressed layer after layer has such; whatever copies its module reads everything.
"""

from __future__ import annotations

import contextlib
import mmap
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sdqviz.error import InputError
from sdqviz.tensor_file import Entry

if TYPE_CHECKING:
    from pathlib import Path

    from sdqviz.networks.shards import Shards

KINDS = {
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "I16": torch.int16, "I32": torch.int32,
    "I64": torch.int64, "F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64,
}  # fmt: skip
"""torch's types by the names that safetensors files have for them."""


AROUND = 1 << 21
"""Bytes in whose multiples tensors are let go of: systems read that much around what is asked for."""


class Mapped(nn.Parameter):
    """A parameter whose numbers are where a file is mapped; nobody may write into it."""

    _map: mmap.mmap
    _begin: int

    @classmethod
    def of(cls, file: mmap.mmap, begin: int, kind: torch.dtype, shape: tuple[int, ...]) -> Mapped:
        """Return the tensor that begins at a byte of a mapped file."""
        count = torch.Size(shape).numel()
        values = torch.frombuffer(file, dtype=kind, count=count, offset=begin).reshape(shape)
        found: Mapped = torch.Tensor._make_subclass(cls, values, False)
        found._map, found._begin = file, begin
        return found

    def let_go(self) -> None:
        """Forget what was read of it: it is read anew when it is asked for again."""
        if sys.platform != "win32":
            first, last = self._begin // AROUND * AROUND, -(-(self._begin + self.nbytes) // AROUND) * AROUND
            self._map.madvise(mmap.MADV_DONTNEED, first, min(last, len(self._map)) - first)

    def __deepcopy__(self, memo: dict[int, Any]) -> nn.Parameter:
        """Return a parameter like any other, in memory."""
        if id(self) not in memo:
            memo[id(self)] = nn.Parameter(self.data.clone(), self.requires_grad)
        return memo[id(self)]  # type: ignore[no-any-return]


class LetGo:
    """A hook that lets go of all weights of a part once data have passed it; copies of the part share it."""

    def __init__(self, weights: list[Mapped]) -> None:
        self._weights = weights

    def __call__(self, part: nn.Module, given: Any, output: Any) -> None:
        """Let go of them."""
        for weight in self._weights:
            weight.let_go()

    def __deepcopy__(self, memo: dict[int, Any]) -> LetGo:
        """Return itself."""
        return self


def let_go(tensor: Tensor) -> None:
    """Let go of a tensor if it is mapped."""
    if isinstance(tensor, Mapped):
        tensor.let_go()


def kept_mapped(module: nn.Module) -> dict[int, Any]:
    """Return, as a memory of `copy.deepcopy`, the parameters of a module that its copy is to share."""
    return {id(one): one for one in module.parameters() if isinstance(one, Mapped)}


@contextlib.contextmanager
def without_numbers() -> Iterator[None]:
    """Let the parameters of modules that this thread makes meanwhile have shapes alone; buffers have their numbers."""
    before, owner = nn.Module.register_parameter, threading.get_ident()

    def register(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
        if param is not None and not param.is_meta and threading.get_ident() == owner:
            param = nn.Parameter(param.data.to("meta"), param.requires_grad)
        before(self, name, param)

    nn.Module.register_parameter = register  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.register_parameter = before  # type: ignore[method-assign]


def fill_mapped(module: nn.Module, shards: Shards, architecture: str) -> None:
    """Map the parameters of a module from shards, and read its buffers.

    A parameter of another type than the file's is written to a temporary file in its own type, and mapped from there.

    Parameters
    ----------
    module : torch.nn.Module
        Made within `without_numbers`.
    shards : Shards
        Its state, on disk.
    architecture : str
        What it is called in messages.

    Raises
    ------
    InputError
        If a name or a shape differs.
    """
    what = f"weights {shards.files[0].name}"
    names: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    known = {name for tied in names.values() for name in tied}
    state = {name: value for name, value in module.state_dict(keep_vars=True).items() if isinstance(value, Tensor)}
    buffers = {name: value for name, value in state.items() if name not in known}
    extra = next((name for name in shards.entries if name not in known and name not in buffers), None)
    if extra is not None:
        raise InputError(f"{what} must fit {architecture}, got {extra}, which it does not have")
    sources = {one: next((name for name in tied if name in shards.entries), None) for one, tied in names.items()}
    missing = [names[one][0] for one, name in sources.items() if name is None]
    missing += [name for name in buffers if name not in shards.entries]
    if missing:
        raise InputError(f"{what} must fit {architecture}, got no {missing[0]}")
    files = _Files(shards)
    made: dict[int, Mapped] = {}
    for part in module.modules():
        for key, own in part._parameters.items():
            if own is None:
                continue
            if id(own) not in made:
                name = str(sources[id(own)])
                _require_shape(what, architecture, name, shards.entries[name], own)
                made[id(own)] = files.mapped(name, own.dtype)
            part._parameters[key] = made[id(own)]
    for name, buffer in buffers.items():
        _require_shape(what, architecture, name, shards.entries[name], buffer)
        buffer.copy_(files.mapped(name, buffer.dtype).data)
    for part in module.modules():
        weights = [one for one in part.parameters() if isinstance(one, Mapped)]
        if weights:
            part.register_forward_hook(LetGo(weights))


def _require_shape(what: str, architecture: str, name: str, entry: Entry, wanted: Tensor) -> None:
    if entry.shape != tuple(wanted.shape):
        shapes = f"{entry.shape} instead of {tuple(wanted.shape)}"
        raise InputError(f"{what} must fit {architecture}, got {name} of shape {shapes}")


class _Files:
    """Shards that are mapped, each once."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._maps: dict[Path, mmap.mmap] = {}

    def mapped(self, name: str, kind: torch.dtype) -> Mapped:
        """Return a tensor of a type."""
        entry, path = self._shards.entries[name], self._shards.homes[name]
        own = KINDS.get(entry.dtype)
        if own is None:
            raise InputError(f"tensor {name} must have one of the types {', '.join(KINDS)}, got {entry.dtype}")
        if own != kind or entry.begin % kind.itemsize:
            with tempfile.TemporaryFile(prefix="sdqviz-") as file:
                self._convert(name, own, kind, file)
                return Mapped.of(_whole(file), 0, kind, entry.shape)
        if path not in self._maps:
            with path.open("rb") as file:
                self._maps[path] = _whole(file)
        return Mapped.of(self._maps[path], entry.begin, kind, entry.shape)

    def _convert(self, name: str, own: torch.dtype, kind: torch.dtype, file: IO[bytes]) -> None:
        for piece in self._shards.raw(name):  # of whole numbers: a power of two of bytes
            values = torch.frombuffer(bytearray(piece), dtype=own).to(kind)
            file.write(values.view(torch.uint8).numpy().data)
        file.flush()


def _whole(file: IO[bytes]) -> mmap.mmap:
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
