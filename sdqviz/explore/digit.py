"""Turns a drawing into the kind of picture the networks for MNIST were trained on."""

from __future__ import annotations

import base64
import binascii
import math

import numpy as np

from sdqviz.array import Array
from sdqviz.error import InputError

SIDE, BOX = 28, 20
"""Pixels of a picture, and of the box its digit fills."""

SHADES = 16
"""Shades of ink of a picture in a link."""

FAINT = 0.1
"""Share of full ink below which a pixel of a drawing counts as empty."""

EMPTY = "drawing must hold some ink, got an empty one: draw a digit with the mouse or a finger, or pick one"


def from_text(text: str) -> Array:
    """Read a drawing as the browser sends it: the bytes of a square, row by row, in base 64.

    Parameters
    ----------
    text : str
        0 is paper, 255 full ink.

    Returns
    -------
    ndarray, shape (n, n)
        Ink, 0 … 1.

    Raises
    ------
    InputError
        If it is no square of 8 to 512 pixels a side.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    side = math.isqrt(len(data))
    if side * side != len(data) or not 8 <= side <= 512:
        raise InputError(f"drawing must be a square of 8 to 512 pixels a side, got {len(data)} pixels")
    return np.frombuffer(data, np.uint8).reshape(side, side) / 255


def to_picture(ink: Array) -> Array:
    """Crop a drawing to its ink, fit it into a box of 20 pixels and put its centre of mass in the middle of 28.

    Parameters
    ----------
    ink : ndarray, shape (n, n)
        0 is paper, 1 full ink.

    Returns
    -------
    ndarray, shape (28, 28)
        0 … 1, as the pictures of MNIST were made.

    Raises
    ------
    InputError
        If there is no ink.
    """
    rows, columns = np.nonzero(ink > FAINT)
    if len(rows) == 0:
        raise InputError(EMPTY)
    cropped = ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    scale = BOX / max(cropped.shape)
    height, width = (max(1, round(side * scale)) for side in cropped.shape)
    small = _resampling(cropped.shape[0], height) @ cropped @ _resampling(cropped.shape[1], width).T
    small = small / small.max()
    centre = [float((small.sum(axis=1 - axis) @ (np.arange(small.shape[axis]) + 0.5)) / small.sum()) for axis in (0, 1)]
    top, left = (
        int(np.clip(round(SIDE / 2 - at), 0, SIDE - side)) for at, side in zip(centre, (height, width), strict=True)
    )
    picture = np.zeros((SIDE, SIDE))
    picture[top : top + height, left : left + width] = small
    return picture


def to_link(picture: Array) -> str:
    """Write a picture for a link: `SHADES` shades of ink, two pixels a byte, in base 64.

    Parameters
    ----------
    picture : ndarray, shape (28, 28)
        0 … 1.
    """
    shades = np.round(np.asarray(picture) * (SHADES - 1)).astype(np.uint8).ravel()
    return base64.urlsafe_b64encode((shades[::2] << 4 | shades[1::2]).tobytes()).decode().rstrip("=")


def from_link(text: str) -> Array:
    """Read a picture that `to_link` wrote, shape (28, 28).

    Raises
    ------
    InputError
        If it is none.
    """
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != SIDE * SIDE // 2:
        raise InputError(f"ink must be a picture of {SIDE} by {SIDE} pixels in base 64, got {2 * len(data)} pixels")
    pairs = np.frombuffer(data, np.uint8)
    return np.stack([pairs >> 4, pairs & 15], axis=1).reshape(SIDE, SIDE) / (SHADES - 1)


def _resampling(before: int, after: int) -> Array:
    """Return the matrix, shape (after, before), that averages over tents as wide as an output pixel, or an input one.

    Each row sums to 1.
    """
    scale = before / after
    at = (np.arange(after)[:, None] + 0.5) * scale - 0.5
    weights = np.maximum(1 - np.abs(np.arange(before)[None] - at) / max(scale, 1.0), 0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
