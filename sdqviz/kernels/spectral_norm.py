"""Spectral norms of matrices, through LAPACK without the interpreter's lock: each thread can have one of its own."""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

TINY, HUGE = 1e-100, 1e100
"""Largest entries between which squares are summed as they are."""

WITH_WHOLE_NUMBERS_OF_32_BITS = "void (char *, char *, char *, int *,"
"""How the signature of dsyevr begins where its whole numbers are C's ``int``."""


def spectral_norm(matrix: ArrayLike) -> float:
    """Return ‖A‖₂ of a matrix, shape (m, n), through its smaller Gram matrix.

    Very large or small entries are scaled first, so nothing over- or underflows. The relative error is at most a few
    units of rounding times the smaller side (below 1e-12 in practice); NaN if an entry is not finite.

    Examples
    --------
    >>> spectral_norm([[3.0, 0.0, 0.0], [0.0, 4.0, 0.0]])
    4.0
    """
    a = np.asarray(matrix, float)
    if a.size == 0:
        return 0.0
    scale = float(np.abs(a).max())
    if not math.isfinite(scale):
        return math.nan
    if scale == 0:
        return 0.0
    if TINY < scale < HUGE:
        scale = 1.0
    else:
        a = a / scale
    gram = a @ a.T if a.shape[0] <= a.shape[1] else a.T @ a
    return scale * math.sqrt(max(largest_eigenvalue(gram), 0.0))


def largest_eigenvalue(matrix: NDArray[np.float64]) -> float:
    """Return λ_max of a symmetric matrix, shape (n, n) with n ≥ 1, finite and C-contiguous; it is overwritten.

    scipy's own `eigh` asks the same function of LAPACK for the same, but keeps the interpreter's lock meanwhile; it is
    taken where scipy is built with whole numbers of 64 bits.

    Raises
    ------
    numpy.linalg.LinAlgError
        If LAPACK gives up.
    """
    function, size = dsyevr(), len(matrix)
    if function is None:
        from scipy.linalg import eigh

        last = (size - 1, size - 1)
        return float(eigh(matrix, eigvals_only=True, subset_by_index=last, overwrite_a=True, check_finite=False)[0])
    n, one, ask = ctypes.c_int(size), ctypes.c_int(1), ctypes.c_int(-1)
    zero, found, failed = ctypes.c_double(0.0), ctypes.c_int(), ctypes.c_int()
    values, support = np.empty(size), np.empty(2 * size, np.intc)
    at = ctypes.byref

    def call(work: Any, work_size: ctypes.c_int, places: Any, places_size: ctypes.c_int) -> None:
        function(  # no vectors, of the values the n-th alone; a symmetric matrix is its own transpose
            b"N", b"I", b"U", at(n), matrix.ctypes.data, at(n), at(zero), at(zero), at(n), at(n), at(zero), at(found),
            values.ctypes.data, None, at(one), support.ctypes.data, work.ctypes.data, at(work_size),
            places.ctypes.data, at(places_size), at(failed),
        )  # fmt: skip

    work, places = np.empty(1), np.empty(1, np.intc)
    call(work, ask, places, ask)  # how much room it would like
    work, places = np.empty(int(work[0])), np.empty(int(places[0]), np.intc)
    call(work, ctypes.c_int(len(work)), places, ctypes.c_int(len(places)))
    if failed.value:
        raise np.linalg.LinAlgError(f"no eigenvalue found: dsyevr gave {failed.value}")
    return float(values[0])


@functools.cache
def dsyevr() -> Callable[..., None] | None:
    """Return LAPACK's function as scipy has it, to be called with pointers; None where it has other whole numbers.

    ctypes gives the interpreter's lock back during a call.
    """
    from scipy.linalg import cython_lapack

    capsule = cython_lapack.__pyx_capi__["dsyevr"]
    signature: Any = ctypes.pythonapi.PyCapsule_GetName
    signature.restype, signature.argtypes = ctypes.c_char_p, [ctypes.py_object]
    name = signature(capsule)
    if not name.decode().startswith(WITH_WHOLE_NUMBERS_OF_32_BITS):
        return None
    address: Any = ctypes.pythonapi.PyCapsule_GetPointer
    address.restype, address.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 21)(address(capsule, name))
