"""Files of weights that somebody else made: tensors by name, and nothing that would run code."""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdqviz.error import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

AUXILIARY = ("AuxLogits", "aux1", "aux2")
"""Heads that are used in training alone; they are left out."""


def read_state(source: Path | bytes, name: str = "") -> dict[str, Tensor]:
    """Read tensors by name from a safetensors file, or from one that ``torch.save`` wrote of a state dict.

    Parameters
    ----------
    source : Path or bytes
        The file, or what it holds. A state dict may lie under ``"state_dict"`` or ``"model"``, and all names may begin
        with ``"module."``.
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
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{need}, which cannot be read: {first.split('. ')[0]}") from None
    for key in ("state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not found:
        raise InputError(f"{need}, which holds {type(found).__name__}")
    for key, value in found.items():
        if not isinstance(value, torch.Tensor):
            raise InputError(f"{need}, where {key!r} is {type(value).__name__}")
    parallel = all(str(key).startswith("module.") for key in found)
    return {str(key).removeprefix("module.") if parallel else str(key): value for key, value in found.items()}


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
    try:
        module.load_state_dict(kept)
    except RuntimeError as error:
        wanted = module.state_dict()
        for key, tensor in wanted.items():
            if key not in kept:
                raise InputError(f"{what} must fit {architecture}, got no {key}") from None
            if kept[key].shape != tensor.shape:
                shapes = f"{tuple(kept[key].shape)} instead of {tuple(tensor.shape)}"
                raise InputError(f"{what} must fit {architecture}, got {key} of shape {shapes}") from None
        extra = next((key for key in kept if key not in wanted), None)
        got = f"{extra}, which it does not have" if extra else str(error).splitlines()[-1].strip()
        raise InputError(f"{what} must fit {architecture}, got {got}") from None


def _new_name(key: str) -> str:
    # densenet's published files say denselayer1.norm.1.weight for denselayer1.norm1.weight
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", key)
