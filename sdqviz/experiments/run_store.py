"""Finished runs, kept: one SQLite file that several processes may use at once, and a JSON file to pass on."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gzip
import hashlib
import json
import math
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sdqviz import asset
from sdqviz.error import InputError
from sdqviz.networks import training
from sdqviz.report import LayerReport, Report
from sdqviz.version import __version__

if TYPE_CHECKING:
    from sdqviz.networks.catalogue.network_choice import NetworkChoice

APPLICATION = 0x73647176
"""``sdqv`` in ASCII: SQLite's application id of a store, so that another program's file is told apart."""

SCHEMA = 1
"""Version of the tables, SQLite's ``user_version``."""

FORMAT = "sdqviz runs 1"
"""What a file of runs says it is."""

BUSY = 30.0
"""Seconds to wait for another process that is writing."""

MOST_BYTES = 256 << 20
"""The largest file of runs, unpacked, that is read: a small file must not unpack to fill the memory."""

_TABLE = """
CREATE TABLE run (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    content TEXT NOT NULL
)
"""


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """One compression that was tried: what was asked, and the report or why there is none.

    Attributes
    ----------
    key : str
        What it is found by, see `run_key`.
    network, method : dict
        The choices, as their ``to_dict``.
    calibration : int
        How many calibration inputs.
    seed : int
        Seed of the run.
    report : Report or None
        What was measured; None if the run failed.
    problem : str
        Why it failed, one sentence; empty if it did not.
    seconds : float
        Time the run took, testing included, loading the network not.
    version : str
        Version of the engine that ran it.
    label : str
        What people call it.
    """

    key: str
    network: Mapping[str, Any]
    method: Mapping[str, Any]
    calibration: int
    seed: int
    report: Report | None
    problem: str = ""
    seconds: float = 0.0
    version: str = __version__
    label: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return everything as strict JSON types; numbers that are not finite become "NaN" or "±Infinity"."""
        return {
            "key": self.key,
            "network": dict(self.network),
            "method": dict(self.method),
            "calibration": self.calibration,
            "seed": self.seed,
            "report": None if self.report is None else _spelled(self.report.to_dict()),
            "problem": self.problem,
            "seconds": self.seconds,
            "version": self.version,
            "label": self.label,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Run:
        """Invert `to_dict`.

        Raises
        ------
        InputError
            If something is missing, unknown, or of another type.
        """
        try:
            rest = dict(values)
            report = rest.pop("report")
            found = cls(report=None if report is None else _read_report(report), **rest)
            problem = _misfit(found)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problem = f"{type(error).__name__}: {error}"
        if problem is not None:
            raise InputError(f"a stored run must have the fields of this version ({__version__}), got {problem}")
        return found

    def figures(self) -> dict[str, Any]:
        """Return `to_dict` without times and label: what must be the same wherever and whenever it runs."""
        values = self.to_dict()
        del values["seconds"], values["label"]
        if values["report"] is not None:
            values["report"]["seconds"] = 0.0
            for row in values["report"]["layers"]:
                row["seconds"] = 0.0
        return values


def run_key(
    network: Mapping[str, Any],
    method: Mapping[str, Any],
    calibration: int,
    seed: int,
    fingerprint: str,
    version: str = __version__,
) -> str:
    """Return the SHA-256 of everything a run depends on, as hexadecimal digits.

    Parameters
    ----------
    network, method : dict
        The choices, as their ``to_dict``; the order of the entries does not matter.
    calibration, seed : int
        How many calibration inputs, and the seed.
    fingerprint : str
        Of the network's weights, see `fingerprint`.
    version : str
        Version of the engine.
    """
    values = {
        "network": dict(network),
        "method": dict(method),
        "calibration": calibration,
        "seed": seed,
        "fingerprint": fingerprint,
        "version": version,
    }
    return hashlib.sha256(json.dumps(values, sort_keys=True, allow_nan=False).encode()).hexdigest()


def fingerprint(choice: NetworkChoice) -> str:
    """Return a hash of the trained weights of a network: of its file where it has one, so that nothing is loaded.

    Parameters
    ----------
    choice : NetworkChoice
        A network that is ready; others have no weights yet.

    Raises
    ------
    InputError
        If the network has to be trained first, or a shipped file is missing or damaged.
    """
    if not choice.ready:
        raise InputError(f"network {choice.name} with seed {choice.seed} must be trained first, got no weights")
    if choice.shipped:
        return asset.sha256(asset.path(f"networks/{training.file_name(choice)}"))
    file = training.cache_folder() / training.file_name(choice)
    return asset.sha256(file) if file.is_file() else _loaded_fingerprint(choice)


@functools.lru_cache(maxsize=32)
def _loaded_fingerprint(choice: NetworkChoice) -> str:
    return choice.load().fingerprint


def default_path() -> Path:
    """Return where runs are kept when nobody says otherwise: ``runs.sqlite`` beside the networks trained here."""
    folder = training.cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cache folder must be one that can be made, got {folder}: {error}") from None
    return folder / "runs.sqlite"


# -- the store ----------------------------------------------------------------------------------------


class RunStore:
    """Runs in one SQLite file, each committed before `put` returns; threads and processes may share the file.

    Parameters
    ----------
    path : str or Path
        The file, made if there is none; its folder must exist.

    Raises
    ------
    InputError
        If the file is damaged, belongs to something else or to a newer version, or cannot be written.

    Notes
    -----
    Write-ahead logging lets one process write while others read; writers wait for one another. A process that is
    killed leaves what it has committed. Two files beside the store (``-wal``, ``-shm``) belong to it while it is open.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        if self.path.is_dir() or not self.path.parent.is_dir():
            raise InputError(f"store must be a file in a folder that exists, got {self.path}")
        with self._explained():
            self._database = sqlite3.connect(self.path, timeout=BUSY, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self._database.close()
                raise

    def __enter__(self) -> Self:
        """Return the store."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file; every run is in it already."""
        with self._lock:
            self._database.close()

    def put(self, run: Run) -> None:
        """Keep a run, in place of an earlier one of the same key."""
        content = _json(run.to_dict())
        with self._lock, self._explained():
            self._database.execute(
                "INSERT INTO run (key, content) VALUES (?, ?) "
                "ON CONFLICT (key) DO UPDATE SET content = excluded.content",
                (run.key, content),
            )

    def get(self, key: str) -> Run | None:
        """Return the run of a key, or None."""
        with self._lock, self._explained():
            row = self._database.execute("SELECT content FROM run WHERE key = ?", (key,)).fetchone()
        return None if row is None else self._read(row[0])

    def runs(self) -> tuple[Run, ...]:
        """Return all runs, in the order in which they first came."""
        with self._lock, self._explained():
            rows = self._database.execute("SELECT content FROM run ORDER BY number").fetchall()
        return tuple(self._read(content) for (content,) in rows)

    def __len__(self) -> int:
        """Count the runs."""
        with self._lock, self._explained():
            return int(self._database.execute("SELECT count(*) FROM run").fetchone()[0])

    def _prepare(self) -> None:
        """Make the tables in a new file; refuse a file that is not a store."""
        database = self._database
        if self._pragma("journal_mode") != "wal" and self._is_new_or_ours():
            self._use_write_ahead_log()
        database.execute("BEGIN IMMEDIATE")  # of several processes that find a new file one makes the tables
        try:
            if not self._is_new_or_ours():
                raise InputError(f"store must be a file that sdqviz made, got another program's database {self.path}")
            found = self._pragma("user_version")
            if found > SCHEMA:
                raise InputError(f"store must have schema {SCHEMA}, got {found}: a newer sdqviz made {self.path}")
            if found == 0:
                database.execute(_TABLE)
                database.execute(f"PRAGMA application_id = {APPLICATION}")
                database.execute(f"PRAGMA user_version = {SCHEMA}")
        finally:
            database.execute("COMMIT")

    def _is_new_or_ours(self) -> bool:
        application = self._pragma("application_id")
        if application == APPLICATION:
            return True
        tables = self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        return application == 0 and tables == 0 and self._pragma("user_version") == 0

    def _use_write_ahead_log(self) -> None:
        """Switch the journal; the timeout does not cover the moment in which another process does the same."""
        deadline = time.monotonic() + BUSY
        while True:
            try:
                self._database.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def _pragma(self, name: str) -> Any:
        return self._database.execute(f"PRAGMA {name}").fetchone()[0]

    def _read(self, content: str) -> Run:
        try:
            return Run.from_dict(json.loads(content))
        except ValueError as error:  # an InputError, or text that is not JSON
            raise InputError(f"store {self.path} must hold whole runs, got one that cannot be read: {error}") from None

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise InputError(f"store must be a file that can be read and written, got {self.path}: {error}") from None
        except sqlite3.Error as error:
            raise InputError(f"store must be a whole file that sdqviz made, got {self.path}: {error}") from None


# -- files to pass on ---------------------------------------------------------------------------------


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
    target = Path(path)
    lines = ",\n".join(_json(run.to_dict()) for run in runs)
    data = f'{{"format": "{FORMAT}", "runs": [\n{lines}\n]}}\n'.encode()
    if target.name.endswith(".gz"):
        data = gzip.compress(data, mtime=0)
    try:
        target.write_bytes(data)
    except OSError as error:
        raise InputError(f"file of runs must be one that can be written, got {target}: {error}") from None


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
        values = json.loads(data)
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise ValueError(f"no {FORMAT!r} at its beginning")
        return tuple(Run.from_dict(run) for run in values["runs"])
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"file of runs must be one that sdqviz wrote, got {error}") from None


def _unpacked(data: bytes) -> bytes:
    machine = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    found = machine.decompress(data, MOST_BYTES)
    if machine.unconsumed_tail:
        raise ValueError(f"more than {MOST_BYTES >> 20} MiB")
    if not machine.eof:
        raise ValueError("a file that was cut short")
    return found


# -- strict JSON --------------------------------------------------------------------------------------


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def _spelled(value: Any) -> Any:
    """Write numbers that JSON does not know as words."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {key: _spelled(item) for key, item in value.items()}
    return [_spelled(item) for item in value] if isinstance(value, list | tuple) else value


def _read_report(values: Mapping[str, Any]) -> Report:
    whole = dict(values)
    whole["layers"] = [_checked(LayerReport, row) for row in whole["layers"]]
    return Report.from_dict(_checked(Report, whole))


_KINDS: dict[str, tuple[type[Any], ...]] = {"float": (float, int), "int": (int,), "str": (str,), "bool": (bool,)}


def _checked(cls: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Read the words that stand for numbers in fields that are numbers, and refuse what is of another type."""
    found = dict(values)
    for item in dataclasses.fields(cls):
        kind, _, optional = str(item.type).partition(" | ")
        if item.name not in found or kind not in _KINDS or (optional and found[item.name] is None):
            continue
        value = found[item.name]
        if kind == "float" and value in ("NaN", "Infinity", "-Infinity"):
            found[item.name] = float(value)
        elif not isinstance(value, _KINDS[kind]) or (isinstance(value, bool) and kind != "bool"):
            raise TypeError(f"{item.name} {value!r}")
    return found


_FIELDS: dict[str, type[Any] | tuple[type[Any], ...]] = {
    "key": str,
    "network": dict,
    "method": dict,
    "calibration": int,
    "seed": int,
    "problem": str,
    "seconds": (int, float),
    "version": str,
    "label": str,
}


def _misfit(run: Run) -> str | None:
    """Return what is wrong with the types of a run's fields, or None."""
    for name, kind in _FIELDS.items():
        if not isinstance(getattr(run, name), kind):
            return f"{name} {getattr(run, name)!r}"
    if (run.report is None) != bool(run.problem):
        return "neither a report nor a problem" if run.report is None else "a report and a problem"
    return None
