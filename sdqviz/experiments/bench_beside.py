"""Figures of speed of this code and of another checkout or installation, which take turns on the same machine."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sdqviz.error import InputError
from sdqviz.experiments.bench_figures import Figure
from sdqviz.progress import Progress, ShouldStop, report, stop_if

TURNS = (0, 1, 1, 0)
"""Who is measured when, for each piece of work: this code, the other twice, this code; drifts then meet both alike."""

WORKER = Path(__file__).with_name("bench_worker.py")

FIELDS = {field.name for field in dataclasses.fields(Figure)}
"""What a figure has here; another version's may have more."""

WANTED = "beside must be the folder of a checkout, which has sdqviz in it, or a Python that has it installed"


class Side:
    """A process of its own that measures the figures of one sdqviz, as a context.

    Parameters
    ----------
    python : str
        The interpreter.
    folder : Path or None
        Where its sdqviz lies; None for the one that is installed.
    """

    def __init__(self, python: str, folder: Path | None) -> None:
        paths = [] if folder is None else [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        if paths:
            environment["PYTHONPATH"] = os.pathsep.join(paths)
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        try:
            self._process = subprocess.Popen(
                [python, "-P", str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=self._said, env=environment, cwd=tempfile.gettempdir(), text=True, encoding="utf-8",
                start_new_session=True,  # Ctrl-C ends the run between two figures, not one of them
            )  # fmt: skip
        except OSError as error:
            self._said.close()
            raise InputError(f"{WANTED}, got {python}: {error.strerror}") from None

    def __enter__(self) -> Self:
        """Return the process."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()
        self._said.close()

    def hello(self) -> dict[str, Any]:
        """Return where its code lies, its version, and how many pieces of work it has."""
        return dict(self._answer())

    def figures(self, place: int) -> list[Figure]:
        """Measure one piece of work."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # then it says why
            self._process.stdin.write(f"{place}\n")
            self._process.stdin.flush()
        return [Figure(**{key: one[key] for key in one.keys() & FIELDS}) for one in self._answer()]

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            try:
                return ast.literal_eval(line)
            except (ValueError, SyntaxError):
                raise InputError(f"it answers {line.strip()}") from None
        self._process.wait()
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip().splitlines() or ["it ended without a word"]
        raise InputError(said[-1])


def found_beside(given: str) -> tuple[str, Path | None]:
    """Return the interpreter and the folder of what is to be measured beside this code.

    Parameters
    ----------
    given : str
        The folder of a checkout, or a Python.

    Raises
    ------
    InputError
        If it is neither.
    """
    path = Path(given).expanduser()
    if (path / "sdqviz" / "__init__.py").is_file():
        return sys.executable, path.resolve()
    if path.is_file() and os.access(path, os.X_OK):
        return str(path.absolute()), None  # not where its link leads to: that is how it finds its packages
    raise InputError(f"{WANTED}, got {given}")


def measure_beside(
    given: str, places: Sequence[int] | None = None, progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> tuple[tuple[Figure, ...], str]:  # fmt: skip
    """Measure this code and another, each in a process of its own, one piece of work after the other in `TURNS`.

    Each measures with its own program of the figures; they are the same where names and yardsticks are.

    Parameters
    ----------
    given : str
        The folder of another checkout, or a Python that has sdqviz installed.
    places : sequence of int, optional
        Which pieces of work of `sdqviz.experiments.bench.WORK`; all by default.

    Returns
    -------
    figures : tuple of Figure
        Of this code, with the other's times as ``before`` where it has the same figure.
    other : str
        What the other is: the name of its folder and its version.

    Raises
    ------
    InputError
        If there is no such code, or none whose speed can be measured.
    Stopped
        If asked to stop.
    """
    python, folder = found_beside(given)
    with Side(sys.executable, Path(__file__).resolve().parents[2]) as here, Side(python, folder) as there:
        mine = here.hello()
        try:
            other = there.hello()
        except InputError as error:
            raise InputError(f"{WANTED}, got {given}: {error}") from None
        if folder is not None and Path(other["folder"]) != folder:
            raise InputError(f"{WANTED}, got {given}: Python finds the one in {other['folder']} first")
        chosen = range(mine["count"]) if places is None else places
        figures: list[Figure] = []
        for done, place in enumerate(chosen):
            found: tuple[list[list[Figure]], list[list[Figure]]] = ([], [])
            for turn, side in enumerate(TURNS):
                stop_if(should_stop)
                report(progress, len(TURNS) * done + turn, len(TURNS) * len(chosen), "measuring")
                if side == 0 or place < other["count"]:
                    found[side].append((here, there)[side].figures(place))
            before = {(one.name, one.yardstick): one.seconds for one in _least(found[1])}
            figures += [
                dataclasses.replace(one, before=before.get((one.name, one.yardstick))) for one in _least(found[0])
            ]
    report(progress, len(TURNS) * len(chosen), len(TURNS) * len(chosen), "done")
    return tuple(figures), f"{Path(other['folder']).name} ({other['version']})"


def _least(turns: Sequence[Sequence[Figure]]) -> list[Figure]:
    """Return each figure with the least times of all turns."""
    return [
        dataclasses.replace(same[0], seconds=min(one.seconds for one in same), beside=min(one.beside for one in same))
        for same in zip(*turns, strict=True)
    ]
