"""Class rooms: a lecturer asks, students guess without a name, and all see the answers once they are revealed."""

from __future__ import annotations

import contextlib
import dataclasses
import hmac
import json
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sdqviz.error import InputError
from sdqviz.lessons import LESSONS

MOST_ROOMS, MOST_GUESSES = 50, 200
"""Rooms at a time, and guesses in a room."""

LIFETIME = 3 * 3600.0
"""Seconds after which a room is gone with all that was guessed in it."""

BUSY = 30.0
"""Seconds to wait for another process that is writing."""

WORD = re.compile(r"[a-z0-9][a-z0-9-]{2,23}")

ADJECTIVES = ("calm", "tight", "short", "sharp", "quiet", "round", "early", "plain", "swift", "clear")
NOUNS = ("frame", "state", "walk", "layer", "step", "neuron", "vector", "tour", "bound", "sigma")

_TABLES = """
CREATE TABLE IF NOT EXISTS room (
    word TEXT PRIMARY KEY, key TEXT NOT NULL, lesson TEXT NOT NULL, revealed INTEGER NOT NULL, opened REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS guess (
    word TEXT NOT NULL REFERENCES room ON DELETE CASCADE, lesson TEXT NOT NULL, visitor TEXT NOT NULL,
    value TEXT NOT NULL, PRIMARY KEY (word, lesson, visitor)
);
"""


@dataclasses.dataclass(frozen=True)
class Room:
    """A room as everybody in it may see it.

    Attributes
    ----------
    word : str
        What it is called, in its link.
    lesson : str
        Name of the lesson whose question is asked now.
    revealed : bool
        Whether the answer is shown.
    guesses : int
        How many have guessed.
    """

    word: str
    lesson: str
    revealed: bool
    guesses: int


def proposal() -> str:
    """Return a word for a new room, such as ``tight-walk-52``."""
    return f"{secrets.choice(ADJECTIVES)}-{secrets.choice(NOUNS)}-{10 + secrets.randbelow(90)}"


class Rooms:
    """The rooms of one server: few, short-lived, without names; several threads may share them.

    Parameters
    ----------
    path : str or Path
        A file that several processes share, or ``":memory:"`` for those of one process; it is no archive, and whoever
        makes it removes it.
    clock : callable
        Returns the time in seconds.

    Notes
    -----
    What a visitor gives is a number or the name of an answer, checked by the lesson that asks for it; the visitor is a
    random token of one browser session and is not handed out again.
    """

    def __init__(self, path: str | Path = ":memory:", clock: Callable[[], float] = time.time) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._database = sqlite3.connect(path, timeout=BUSY, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA foreign_keys = ON")
        self._database.execute("PRAGMA synchronous = OFF")  # nothing here is to outlive the server
        self._database.executescript(_TABLES)

    def close_all(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._database.close()

    def open(self, word: str, lesson: str) -> str:
        """Open a room and return the lecturer's key to it.

        Raises
        ------
        InputError
            If the word is none or taken, the lesson does not exist, or there are too many rooms.
        """
        word = word.strip().lower()
        if not WORD.fullmatch(word):
            raise InputError(f"class must be 3 to 24 letters, digits and hyphens, got {word[:40]!r}")
        _lesson(lesson)
        key = secrets.token_hex(4)
        with self._change() as database:
            if database.execute("SELECT 1 FROM room WHERE word = ?", (word,)).fetchone():
                raise InputError(f"class must be a word no other lecturer uses now, got {word!r}: choose another")
            if database.execute("SELECT count(*) FROM room").fetchone()[0] >= MOST_ROOMS:
                raise InputError(f"rooms must be at most {MOST_ROOMS} at a time, got one more: try again later")
            database.execute("INSERT INTO room VALUES (?, ?, ?, 0, ?)", (word, key, lesson, self._clock()))
        return key

    def get(self, word: str) -> Room:
        """Return a room.

        Raises
        ------
        InputError
            If there is none of that word.
        """
        with self._change() as database:
            lesson, revealed, _ = self._row(word)
            return Room(word.strip().lower(), lesson, bool(revealed), self._count(database, word, lesson))

    def guess(self, word: str, visitor: str, lesson: str, given: object) -> None:
        """Take a visitor's guess, in place of an earlier one.

        Raises
        ------
        InputError
            If the room is gone or full, asks something else by now, has its answer revealed, or the guess is none.
        """
        value = json.dumps(_lesson(lesson).guess.read(given))
        word = word.strip().lower()
        with self._change() as database:
            asked, revealed, _ = self._row(word)
            if asked != lesson:
                raise InputError(f"guess must be for the question asked now, got one for {lesson!r}")
            if revealed:
                raise InputError("guess must come before the answer, got it afterwards")
            mine = (word, lesson, visitor)
            known = database.execute("SELECT 1 FROM guess WHERE word = ? AND lesson = ? AND visitor = ?", mine)
            if known.fetchone() is None and self._count(database, word, lesson) >= MOST_GUESSES:
                raise InputError(f"guesses must be at most {MOST_GUESSES} in a room, got one more: it is full")
            database.execute("INSERT OR REPLACE INTO guess VALUES (?, ?, ?, ?)", (*mine, value))

    def mine(self, word: str, visitor: str) -> Any:
        """Return what a visitor has guessed to the question asked now, or None."""
        with self._change() as database:
            lesson, _, _ = self._row(word)
            found = database.execute(
                "SELECT value FROM guess WHERE word = ? AND lesson = ? AND visitor = ?",
                (word.strip().lower(), lesson, visitor),
            ).fetchone()
        return None if found is None else json.loads(found[0])

    def guesses(self, word: str, key: str = "") -> tuple[Any, ...]:
        """Return what was guessed, sorted; before the answer is revealed the lecturer's key is needed.

        Raises
        ------
        InputError
            If the room is gone, or the answer is not revealed and the key is not the lecturer's.
        """
        with self._change() as database:
            lesson, revealed, secret = self._row(word)
            if not revealed:
                _require(word, key, secret)
            rows = database.execute(
                "SELECT value FROM guess WHERE word = ? AND lesson = ?", (word.strip().lower(), lesson)
            ).fetchall()
        return tuple(sorted((json.loads(value) for (value,) in rows), key=lambda one: (str(type(one)), one)))

    def reveal(self, word: str, key: str) -> None:
        """Show everybody the answer."""
        self._lecture(word, key, "UPDATE room SET revealed = 1 WHERE word = ?1")

    def ask(self, word: str, key: str, lesson: str) -> None:
        """Go on to the question of a lesson; what was guessed to it before is dropped."""
        _lesson(lesson)
        self._lecture(
            word,
            key,
            "DELETE FROM guess WHERE word = ?1 AND lesson = ?2",
            "UPDATE room SET lesson = ?2, revealed = 0 WHERE word = ?1",
            lesson=lesson,
        )

    def close(self, word: str, key: str) -> None:
        """End a room; everything in it is gone."""
        self._lecture(word, key, "DELETE FROM room WHERE word = ?1")

    def check(self, word: str, key: str) -> None:
        """Refuse a key that is not the lecturer's of a room."""
        with self._change():
            _require(word, key, self._row(word)[2])

    def _lecture(self, word: str, key: str, *statements: str, lesson: str = "") -> None:
        given = (word.strip().lower(), lesson)
        with self._change() as database:
            _require(word, key, self._row(word)[2])
            for statement in statements:
                database.execute(statement, given[: 2 if "?2" in statement else 1])

    def _row(self, word: str) -> tuple[str, int, str]:
        word = word.strip().lower()
        found = self._database.execute("SELECT lesson, revealed, key FROM room WHERE word = ?", (word,)).fetchone()
        if found is None:
            hours = LIFETIME / 3600
            raise InputError(f"class must be a room that is open, got {word[:40]!r}: rooms end after {hours:g} hours")
        return found

    @staticmethod
    def _count(database: sqlite3.Connection, word: str, lesson: str) -> int:
        given = (word.strip().lower(), lesson)
        return int(database.execute("SELECT count(*) FROM guess WHERE word = ? AND lesson = ?", given).fetchone()[0])

    @contextlib.contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """Hold the rooms alone, without those that have ended; all or nothing of what is done is kept."""
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._database.execute("DELETE FROM room WHERE opened < ?", (self._clock() - LIFETIME,))
                yield self._database
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")


def _lesson(name: str) -> Any:
    if name not in LESSONS:
        raise InputError(f"lesson must be one of {', '.join(sorted(LESSONS))}, got {name[:40]!r}")
    return LESSONS[name]


def _require(word: str, key: str, secret: str) -> None:
    if not hmac.compare_digest(key.strip().encode(), secret.encode()):
        raise InputError(f"key must be that of the lecturer who opened {word[:40]!r}, got another")
