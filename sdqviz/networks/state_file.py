"""Files of weights that somebody else made: tensors by name, and nothing that would run code."""

from __future__ import annotations

import io
import itertools
import os
import re
import warnings
import zipfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdqviz.error import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

AUXILIARY = ("AuxLogits", "aux1", "aux2")
"""Heads that are used in training alone; they are left out."""

STATES = ("state_dict", "model_state_dict", "model", "module", "network", "net", "params", "weights")
"""What checkpoints call the tensors of the network itself, where they hold tensors of others too."""

DEEPEST = 3
"""How deep in a checkpoint a state dict is looked for."""


def path_or_bytes(source: Any, what: str) -> Path | bytes:
    """Return a file's path, or what it holds.

    Raises
    ------
    InputError
        If it is neither.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if isinstance(source, str | os.PathLike):
        return Path(source)
    raise InputError(f"{what} must be the path of a file, or its bytes, got {type(source).__name__}")


def read_state(source: Path | bytes, name: str = "") -> dict[str, Tensor]:
    """Read tensors by name from a safetensors file, or from one that ``torch.save`` wrote of a state dict.

    Parameters
    ----------
    source : Path or bytes
        The file, or what it holds. A state dict may lie among other things of a checkpoint: the only one, or one with
        a name of `STATES`. All names may begin with ``"module."``.
    name : str
        The file's name, where its content is given: its ending says what it is.

    Raises
    ------
    InputError
        If the file cannot be read, would have to run code, or does not hold tensors by name.
    """
    import pickle

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load, load_file

    called = Path(name) if isinstance(source, bytes) else source
    need = f"weights must be a file of tensors, got {called.name}"
    try:
        table = isinstance(source, bytes) and source[8:9] == b"{" and not called.suffix  # safetensors begins with one
        if called.suffix == ".safetensors" or table:
            found: Any = load(source) if isinstance(source, bytes) else load_file(source)
        else:
            file = io.BytesIO(source) if isinstance(source, bytes) else source
            _refuse_what_unpacks(file, need)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of an unusual pickle protocol: it is read, or refused below
                found = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        calls = re.search(r"GLOBAL (\S+)", str(error))
        if calls:
            raise InputError(f"{need}, a pickle that would run code ({calls[1]}): save its state dict alone") from None
        raise InputError(f"{need}, which holds something else or is damaged") from None
    except InputError:
        raise
    except (
        OSError, SafetensorError, RuntimeError, EOFError, ValueError, KeyError, IndexError, TypeError,
        zipfile.BadZipFile,
    ) as error:  # fmt: skip
        if isinstance(error, KeyError | IndexError | TypeError):  # met in the middle of something else
            raise InputError(f"{need}, which holds something else or is damaged") from None
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{need}, which cannot be read: {first.split('. ')[0][:120]}") from None
    states = dict(_states(found))
    if states:
        found = states[min(states, key=lambda path: (_rank(path), len(path)))] if _clear(states) else found
    if not isinstance(found, Mapping) or not found:
        raise InputError(f"{need}, which holds {type(found).__name__}")
    for key, value in found.items():
        if not isinstance(value, torch.Tensor):
            raise InputError(f"{need}, where {key!r} is {type(value).__name__}")
    parallel = all(str(key).startswith("module.") for key in found)
    return {str(key).removeprefix("module.") if parallel else str(key): value for key, value in found.items()}


def _states(held: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Mapping[Any, Any]]]:
    """Yield the mappings of tensors alone in a checkpoint, each with the keys that lead to it."""
    import torch

    if not isinstance(held, Mapping) or not held:
        return
    if all(isinstance(value, torch.Tensor) for value in held.values()):
        yield path, held
    elif len(path) < DEEPEST:
        for key, value in held.items():
            yield from _states(value, (*path, key))


def _rank(path: tuple[Any, ...]) -> int:
    """Return how far down in `STATES` the first key stands that is among them."""
    return min((STATES.index(key) for key in path if key in STATES), default=len(STATES))


def _clear(states: Collection[tuple[Any, ...]]) -> bool:
    return len(states) == 1 or any(_rank(path) < len(STATES) for path in states)


def _refuse_what_unpacks(file: io.BytesIO | Path, need: str) -> None:
    """Refuse an archive whose parts are compressed: torch writes none, and a small one could hold gigabytes."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                raise InputError(f"{need}, an archive that is compressed: torch.save writes plain ones")
    if isinstance(file, io.BytesIO):
        file.seek(0)  # files of older versions are no archives, and whoever looked at them is at their end


def fill(module: nn.Module, state: Mapping[str, Tensor], what: str, architecture: str) -> None:
    """Load a state dict into a module; refuse one that does not fit by the first key that differs.

    Parameters
    ----------
    module : torch.nn.Module
        The architecture; its weights are replaced.
    state : mapping of str to Tensor
        What `read_state` returned.
    what, architecture : str
        What both are called in the message.

    Raises
    ------
    InputError
        If a name or a shape differs.
    """
    # torch's cache may hold files with the names of older versions, and heads that are used in training alone
    kept = {_new_name(key): value for key, value in state.items() if not key.startswith(AUXILIARY)}
    wanted = module.state_dict()
    kept = _named_alike(kept, wanted)
    for key, tensor in wanted.items():
        if key in kept and tensor.is_floating_point() and not kept[key].is_floating_point():
            kinds = f"{kept[key].dtype} instead of {tensor.dtype}"  # torch would take codes for what they stand for
            raise InputError(f"{what} must fit {architecture}, got {key} of {kinds}")
    try:
        module.load_state_dict(kept)
    except RuntimeError as error:
        for key, tensor in wanted.items():
            if key not in kept:
                raise InputError(f"{what} must fit {architecture}, got no {key}") from None
            if kept[key].shape != tensor.shape:
                shapes = f"{tuple(kept[key].shape)} instead of {tuple(tensor.shape)}"
                raise InputError(f"{what} must fit {architecture}, got {key} of shape {shapes}") from None
        extra = next((key for key in kept if key not in wanted), None)
        got = f"{extra}, which it does not have" if extra else str(error).splitlines()[-1].strip()
        raise InputError(f"{what} must fit {architecture}, got {got}") from None


def _named_alike(given: Mapping[str, Tensor], wanted: Collection[str]) -> dict[str, Tensor]:
    """Return tensors by the names that a network has for them, where all differ by what they begin with.

    Wrappers put ``module.``, ``_orig_mod.`` or ``model.`` before every name; either side may have them.
    """
    if given.keys() & set(wanted):
        return dict(given)
    inner = [begin for begin in _beginnings(next(iter(given), "")) if _in_all(begin, given)]
    outer = [begin for begin in _beginnings(next(iter(wanted), "")) if _in_all(begin, wanted)]
    for taken, put in itertools.product(inner, outer):
        named = {put + key.removeprefix(taken): value for key, value in given.items()}
        if named.keys() & set(wanted):
            return named
    return dict(given)


def _beginnings(name: str) -> list[str]:
    """Return what a name begins with, up to each of its dots, the shortest first.

    Examples
    --------
    >>> _beginnings("module.0.weight")
    ['', 'module.', 'module.0.']
    """
    parts = name.split(".")[:-1]
    return ["".join(f"{part}." for part in parts[:count]) for count in range(len(parts) + 1)]


def _in_all(begin: str, names: Collection[str]) -> bool:
    return all(name.startswith(begin) for name in names)


def _new_name(key: str) -> str:
    # densenet's published files say denselayer1.norm.1.weight for denselayer1.norm1.weight
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", key)
