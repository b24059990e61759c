"""A run kept in a file, to go on from there to the same bits as without the break."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from sdqviz.error import InputError
from sdqviz.methods.geta.run import Run
from sdqviz.strict_json import canonical, read_json, spelled, write_json


def save(checkpoint: Path, run: Run, moments: list[dict[str, Any]]) -> None:
    """Write the whole state, unless it is damaged already; a kill while writing leaves the old file."""
    state = run.optimizer.state()
    if not bool(torch.isfinite(state["values"]).all()):
        return
    state |= {
        "key": _key(run),
        "buffers": {name: buffer.clone() for name, buffer in run.module.named_buffers()},
        "seconds": run.seconds,
        "loss": run.loss,
        "moments": write_json(spelled({"moments": moments})),
    }
    partial = checkpoint.with_name(f"{checkpoint.name}.{os.getpid()}")
    try:
        torch.save(state, partial)
        partial.replace(checkpoint)
    except OSError as error:
        raise InputError(f"checkpoint must be a file that can be written, got {checkpoint}: {error}") from None


def resume(checkpoint: Path, run: Run) -> list[dict[str, Any]]:
    """Go on from a checkpoint of the very same run; any other file is ignored."""
    if not checkpoint.is_file():
        return []
    try:
        state = torch.load(checkpoint, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, ValueError):
        return []  # an unreadable checkpoint costs time, nothing else
    if not isinstance(state, dict) or state.get("key") != _key(run):
        return []
    run.optimizer.restore(state)
    buffers = dict(run.module.named_buffers())
    for name, values in state["buffers"].items():
        buffers[name].copy_(values)
    run.seconds, run.loss = float(state["seconds"]), float(state["loss"])
    return read_json(state["moments"], "checkpoint must have moments")["moments"]  # type: ignore[no-any-return]


def _key(run: Run) -> str:
    """Return what a checkpoint must agree in to be gone on from."""
    parts = {"choice": run.choice.to_dict(), "seed": run.seed, "network": run.network.fingerprint}
    return canonical({**parts, "torch": str(torch.__version__), "pool": run.data.calibration_size})
