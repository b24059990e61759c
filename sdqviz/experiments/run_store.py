"""Finished runs, kept in one SQLite file that several processes may use at once."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from sdqviz.error import InputError
from sdqviz.experiments.run import Run
from sdqviz.networks import training
from sdqviz.strict_json import read_json, write_json

APPLICATION = 0x73647176
"""``sdqv`` in ASCII: SQLite's application id of a store, so that another program's file is told apart."""

SCHEMA = 1
"""Version of the tables, SQLite's ``user_version``."""

BUSY = 30.0
"""Seconds to wait for another process that is writing."""

_TABLE = """
CREATE TABLE run (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    content TEXT NOT NULL
)
"""


def default_path() -> Path:
    """Return where runs are kept when nobody says otherwise: ``runs.sqlite`` beside the networks trained here."""
    folder = training.cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cache folder must be one that can be made, got {folder}: {error}") from None
    return folder / "runs.sqlite"


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
        content = write_json(run.to_dict())
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
            return Run.from_dict(read_json(content, "a run must be an object"))
        except InputError as error:
            raise InputError(f"store {self.path} must hold whole runs, got one that cannot be read: {error}") from None

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise InputError(f"store must be a file that can be read and written, got {self.path}: {error}") from None
        except sqlite3.Error as error:
            raise InputError(f"store must be a whole file that sdqviz made, got {self.path}: {error}") from None
