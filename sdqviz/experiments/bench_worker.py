"""Measures figures of speed when told to, a line of standard input each; run by its path, beside whatever sdqviz.

It takes nothing but `sdqviz.experiments.bench.WORK` from the code that it measures, and answers in literals of Python.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path


def main() -> None:
    """Say where the code lies and how many pieces of work it has; then do those whose places come in."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what is printed on the way is no answer

    import sdqviz
    from sdqviz.experiments import bench

    def answer(value: object) -> None:
        answers.write(f"{value!r}\n")
        answers.flush()

    folder = str(Path(sdqviz.__file__).resolve().parents[1])
    answer({"folder": folder, "version": sdqviz.__version__, "count": len(bench.WORK)})
    for line in sys.stdin:
        answer([dataclasses.asdict(figure) for figure in bench.WORK[int(line)]()])


if __name__ == "__main__":
    main()
