"""Runs as one JSON file to pass on, packed or not."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from pathlib import Path

from sdqviz.error import InputError
from sdqviz.experiments.run import Run
from sdqviz.strict_json import read_json, write_json

FORMAT = "sdqviz runs 1"
"""What a file of runs says it is."""

MOST_BYTES = 256 << 20
"""The largest file of runs, unpacked, that is read: a small file must not unpack to fill the memory."""


def write_runs(runs: Iterable[Run], path: str | Path) -> None:
    """Write runs as one JSON file; the same runs give the same bytes.

    Parameters
    ----------
    runs : iterable of Run
        What to write.
    path : str or Path
        The file; packed with gzip when its name ends in ``.gz``.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    target, data = Path(path), runs_as_json(runs)
    if target.name.endswith(".gz"):
        data = gzip.compress(data, mtime=0)
    try:
        target.write_bytes(data)
    except OSError as error:
        raise InputError(f"file of runs must be one that can be written, got {target}: {error}") from None


def runs_as_json(runs: Iterable[Run]) -> bytes:
    """Return what `write_runs` writes, not packed: a line a run."""
    lines = ",\n".join(write_json(run.to_dict()) for run in runs)
    return f'{{"format": "{FORMAT}", "runs": [\n{lines}\n]}}\n'.encode()


def read_runs(source: str | Path | bytes) -> tuple[Run, ...]:
    """Read what `write_runs` wrote, packed or not.

    Parameters
    ----------
    source : str, Path or bytes
        The file, or what is in it.

    Raises
    ------
    InputError
        If it is damaged, unpacks to more than `MOST_BYTES`, or is something else.
    """
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = _unpacked(data)
        values = read_json(data, "it must be an object")
        if values.get("format") != FORMAT:
            raise ValueError(f"no {FORMAT!r} at its beginning")
        return tuple(Run.from_dict(run) for run in values["runs"])
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise InputError(f"file of runs must be one that sdqviz wrote, got {error}") from None


def _unpacked(data: bytes) -> bytes:
    machine = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    found = machine.decompress(data, MOST_BYTES)
    if machine.unconsumed_tail:
        raise ValueError(f"more than {MOST_BYTES >> 20} MiB")
    if not machine.eof:
        raise ValueError("a file that was cut short")
    return found
