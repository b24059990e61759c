"""Whole numbers of any size in as few bits as their spread needs: asymmetric numeral systems with Laplace widths."""

from __future__ import annotations

import numpy as np

from sdqviz.array import Array
from sdqviz.error import InputError

WIDTH_BITS = 6
"""Bits of a stored width."""

NARROWEST, WIDTHS_PER_OCTAVE = 0.05, 4.0
"""Width i stands for NARROWEST · 2^(i/WIDTHS_PER_OCTAVE); the widest is about 2,750."""

MOST_SYMBOL = 1 << 20
"""Largest |number| the coder's 24 bits of precision have room for, with something left for the others."""


def width_index(symbols: Array) -> Array:
    """Return the stored width, 0 to 63, of each row of whole numbers, shape (N, M): the one with the shortest code.

    With width s the number 0 has probability 1 − e^(−1/2s), and k ≠ 0 has ½e^(−(|k|−½)/s)(1 − e^(−1/s)).
    """
    scale = _scale(np.arange(2**WIDTH_BITS))
    zeros = (symbols == 0).sum(axis=1)[:, None]
    others, total = symbols.shape[1] - zeros, np.abs(symbols).sum(axis=1)[:, None]
    zero = -np.log1p(-np.exp(-0.5 / scale))
    other = np.log(2) - np.log1p(-np.exp(-1 / scale)) - 0.5 / scale
    return np.argmin(zeros * zero + others * other + total / scale, axis=1).astype(np.uint8)


def encode_symbols(symbols: Array, width: Array, largest: int) -> Array:
    """Return whole numbers as the bytes of one stream.

    Parameters
    ----------
    symbols : ndarray of int, shape (N, M)
        At most ``largest`` in size.
    width : ndarray of uint8, shape (N,)
        The stored width of each row, from `width_index`.
    largest : int
        At least 1; numbers beyond it would need a wider coder and are refused, never clipped.

    Returns
    -------
    ndarray of uint8

    Notes
    -----
    Duda, *Asymmetric numeral systems* (arXiv 1311.2540), as the library ``constriction`` has it.

    Examples
    --------
    >>> symbols = np.array([[0, 1, 0, 0, -1, 0], [40, -3, 7, 0, 90, -15]])
    >>> stream = encode_symbols(symbols, width_index(symbols), 90)
    >>> bool((decode_symbols(stream, width_index(symbols), 90, 6) == symbols).all())
    True
    """
    import constriction

    _check(width, largest)
    if symbols.size and int(np.abs(symbols).max()) > largest:
        raise InputError(f"symbols must be at most {largest} in size, got {int(np.abs(symbols).max())}")
    coder = constriction.stream.stack.AnsCoder()
    scales = np.repeat(_scale(width), symbols.shape[1])
    coder.encode_reverse(
        np.ascontiguousarray(symbols, np.int32).reshape(-1), _model(largest), np.zeros(len(scales)), scales
    )
    return np.ascontiguousarray(coder.get_compressed()).view(np.uint8)


def decode_symbols(stream: Array, width: Array, largest: int, count: int) -> Array:
    """Invert `encode_symbols`.

    Parameters
    ----------
    stream : ndarray of uint8
        The bytes.
    width : ndarray of uint8, shape (N,)
        The stored widths.
    largest : int
        As it was encoded with.
    count : int
        M, the numbers in each row.

    Returns
    -------
    ndarray of int32, shape (N, M)

    Raises
    ------
    InputError
        If the stream does not end where the last number does.
    """
    import constriction

    _check(width, largest)
    wrong = InputError(f"a stream of {len(stream)} bytes must hold {len(width) * count} numbers exactly, got others")
    if stream.ndim != 1 or len(stream) % 4:
        raise wrong
    words = np.frombuffer(np.ascontiguousarray(stream, np.uint8).tobytes(), np.uint32)
    if len(words) and words[-1] == 0:
        raise wrong
    coder = constriction.stream.stack.AnsCoder(words)
    scales = np.repeat(_scale(width), count)
    symbols = np.asarray(coder.decode(_model(largest), np.zeros(len(scales)), scales), np.int32)
    if not coder.is_empty():
        raise wrong
    return symbols.reshape(len(width), count)


def _scale(width: Array) -> Array:
    return np.asarray(NARROWEST * 2.0 ** (width.astype(float) / WIDTHS_PER_OCTAVE))


def _check(width: Array, largest: int) -> None:
    if not 1 <= largest <= MOST_SYMBOL:
        raise InputError(f"the largest symbol must be between 1 and {MOST_SYMBOL}, got {largest}: take a coarser rate")
    if width.size and int(width.max()) >= 2**WIDTH_BITS:
        raise InputError(f"widths must be below {2**WIDTH_BITS}, got {int(width.max())}")


def _model(largest: int):  # type: ignore[no-untyped-def]
    import constriction

    return constriction.stream.model.QuantizedLaplace(-largest, largest)
