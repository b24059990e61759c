"""How many threads torch and the kernels compute with."""

from __future__ import annotations

import numbers
from typing import Any

from sdqviz.error import InputError
from sdqviz.kernels import threads


def set_threads(count: Any) -> None:
    """Set how many threads torch and the kernels of this process compute with.

    Parameters
    ----------
    count : int
        At least 1.

    Raises
    ------
    InputError
        If it is no such number.
    """
    import torch

    if not isinstance(count, numbers.Integral) or isinstance(count, bool) or count < 1:
        raise InputError(f"threads must be a whole number of at least 1, got {count!r}")
    torch.set_num_threads(int(count))
    threads.set_threads(int(count))
