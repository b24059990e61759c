"""Labelled inputs to calibrate and to test a network with: MNIST, which is shipped, CIFAR-10, or the user's own."""

from __future__ import annotations

import functools
import math
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from sdqviz import asset, memory
from sdqviz.array import Array, Index
from sdqviz.error import InputError

LARGEST_LABEL = 1 << 31
"""Labels are below this."""

OWN_DATA_SHARE = 5
"""Of a user's own images without a calibration set, one in this many is kept for calibration."""


class Dataset:
    """A pool of inputs for calibration and a separate test set, each with its labels.

    Pixels given as uint8 are kept as bytes and read as float32 in [0, 1]; other floating inputs are
    read as float32, integers (token numbers, say) as they are. Nothing is shifted by a mean.

    Parameters
    ----------
    name : str
        What the data is called.
    calibration_inputs, test_inputs : ndarray, shape (n, ...)
        One input per entry of the first axis.
    calibration_labels, test_labels : ndarray of int, shape (n,)
        The class of each input.

    Raises
    ------
    InputError
        If shapes do not match, a set is empty, labels are not whole numbers, or values are not finite.
    """

    def __init__(
        self,
        name: str,
        calibration_inputs: Array,
        calibration_labels: Index,
        test_inputs: Array,
        test_labels: Index,
    ) -> None:
        self.name = name
        self._calibration = _checked_inputs("calibration_inputs", calibration_inputs)
        self._test = _checked_inputs("test_inputs", test_inputs)
        if self._calibration.shape[1:] != self._test.shape[1:]:
            raise InputError(
                f"calibration_inputs must have the shape of test_inputs beyond the first axis, "
                f"{self._test.shape[1:]}, got {self._calibration.shape[1:]}"
            )
        self.calibration_labels = _checked_labels("calibration_labels", calibration_labels, len(self._calibration))
        self.test_labels = _checked_labels("test_labels", test_labels, len(self._test))

    def __repr__(self) -> str:
        """Show the name and the sizes."""
        return f"<data set {self.name}: {len(self._calibration)} calibration and {len(self._test)} test inputs>"

    @property
    def calibration_inputs(self) -> Array:
        """The whole calibration pool, converted on each reading; prefer `calibration` for a sample."""
        return _converted(self._calibration)

    @functools.cached_property
    def test_inputs(self) -> Array:
        """All test inputs, read-only."""
        inputs = _converted(self._test)
        inputs.setflags(write=False)
        return inputs

    @property
    def calibration_size(self) -> int:
        """Number of inputs in the calibration pool."""
        return len(self._calibration)

    @property
    def test_size(self) -> int:
        """Number of test inputs."""
        return len(self._test)

    @functools.cached_property
    def classes(self) -> int:
        """Number of classes: one more than the largest label."""
        return 1 + int(max(self.calibration_labels.max(), self.test_labels.max()))

    def calibration(self, count: int, seed: int) -> Array:
        """Draw inputs from the calibration pool without replacement.

        Parameters
        ----------
        count : int
            How many, at most `calibration_size`.
        seed : int
            The same seed draws the same inputs, in the same order.

        Returns
        -------
        ndarray, shape (count, ...)
        """
        if not 1 <= count <= self.calibration_size:
            raise InputError(f"calibration count must be from 1 to {self.calibration_size}, got {count}")
        return _converted(self._calibration[self._drawn(seed)[:count]])

    def held_out(self, count: int, seed: int, after: int) -> tuple[Array, Index]:
        """Draw labelled inputs from the calibration pool that ``calibration(after, seed)`` does not draw.

        Parameters
        ----------
        count : int
            How many; fewer come where the pool ends.
        seed : int
            The seed of the calibration inputs.
        after : int
            How many calibration inputs are taken.

        Returns
        -------
        inputs : ndarray, shape (n, ...)
        labels : ndarray of int, shape (n,)

        Raises
        ------
        InputError
            If the pool has none left.
        """
        if not 0 <= after < self.calibration_size:
            raise InputError(f"calibration must be below {self.calibration_size} to hold inputs out, got {after}")
        chosen = self._drawn(seed)[after : after + count]
        return _converted(self._calibration[chosen]), self.calibration_labels[chosen]

    def _drawn(self, seed: int) -> Index:
        return np.random.default_rng(seed).permutation(self.calibration_size)

    def pool(self, chosen: Index) -> tuple[Array, Index]:
        """Return some inputs of the calibration pool and their labels; only these are converted.

        Parameters
        ----------
        chosen : ndarray of int, shape (n,)
            Their places in the pool.

        Returns
        -------
        inputs : ndarray, shape (n, ...)
        labels : ndarray of int, shape (n,)
        """
        return _converted(self._calibration[chosen]), self.calibration_labels[chosen]

    def test(self, limit: int | None = None) -> tuple[Array, Index]:
        """Return the first ``limit`` test inputs and their labels; all of them for None."""
        if limit is not None and not 1 <= limit <= self.test_size:
            raise InputError(f"test limit must be from 1 to {self.test_size}, got {limit}")
        return self.test_inputs[:limit], self.test_labels[:limit]


@functools.lru_cache(maxsize=1)
def mnist() -> Dataset:
    """Return MNIST: 60,000 calibration (training) and 10,000 test images of shape (1, 28, 28) in [0, 1].

    Kept as bytes, 55 MB, until the process needs the room.

    Raises
    ------
    InputError
        If the shipped file is missing or damaged.
    """
    with np.load(asset.path("mnist.npz"), allow_pickle=False) as arrays:
        return Dataset(
            "MNIST",
            arrays["train_images"][:, None],
            arrays["train_labels"],
            arrays["test_images"][:, None],
            arrays["test_labels"],
        )


@functools.lru_cache(maxsize=2)
def cifar10(folder: Path) -> Dataset:
    """Return CIFAR-10 from a folder as torchvision keeps it: images of shape (3, 32, 32) in [0, 1]; nothing is fetched.

    Kept as bytes, 184 MB. Missing or damaged files are not remembered: they are looked for again on the next call.

    Parameters
    ----------
    folder : Path
        Holds ``cifar-10-batches-py``.

    Raises
    ------
    InputError
        If the files are not there, or damaged.

    Notes
    -----
    Krizhevsky, *Learning multiple layers of features from tiny images* (2009): 50,000 images for training, which is
    the calibration pool, and 10,000 for testing.
    """
    from torchvision.datasets import CIFAR10

    try:
        # torchvision reads a file only after its MD5 has been found right
        pool, test = (CIFAR10(str(folder), train=train, download=False) for train in (True, False))
    except (OSError, RuntimeError):
        raise InputError(
            f"CIFAR-10 must be whole in {folder / CIFAR10.base_folder}, got no such files: download and unpack "
            f"{CIFAR10.url} there, or let SDQVIZ_DATA name the folder that holds {CIFAR10.base_folder}"
        ) from None
    images = [np.ascontiguousarray(part.data.transpose(0, 3, 1, 2)) for part in (pool, test)]
    return Dataset("CIFAR-10", images[0], np.array(pool.targets), images[1], np.array(test.targets))


def from_npz(source: str | Path | IO[bytes], name: str = "own data") -> Dataset:
    """Read a user's own labelled images from an ``.npz`` file.

    Parameters
    ----------
    source : path or binary file
        Holds ``images``, shape (n, height, width), (n, channels, height, width) or (n, features), and
        ``labels``, shape (n,); optionally ``calibration_images`` and ``calibration_labels``. Without
        these every fifth image is kept for calibration and the others are the test set, so that no
        image serves both.
    name : str
        What to call the data.

    Raises
    ------
    InputError
        If the file is not such an archive, an array is missing, holds objects, would not fit in
        memory (checked before anything is read), or shapes do not match.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            images = _with_channel(_read_member(archive, "images"))
            labels = _read_member(archive, "labels")
            own_pool = "calibration_images.npy" in archive.namelist()
            if own_pool:
                pool = _with_channel(_read_member(archive, "calibration_images"))
                pool_labels = _read_member(archive, "calibration_labels")
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        raise InputError(f"data must be an .npz archive, got a file that cannot be read: {error}") from None
    if own_pool:
        return Dataset(name, pool, pool_labels, images, labels)
    images = _checked_inputs("images", images)
    labels = _checked_labels("labels", labels, len(images))
    if len(images) < 2:
        raise InputError(f"images must hold at least 2 images, one to calibrate and one to test, got {len(images)}")
    kept = np.arange(len(images)) % OWN_DATA_SHARE == 0
    return Dataset(name, images[kept], labels[kept], images[~kept], labels[~kept])


def _read_member(archive: zipfile.ZipFile, name: str) -> Array:
    try:
        member = archive.getinfo(f"{name}.npy")
    except KeyError:
        raise InputError(f"data must hold an array {name!r}, got {', '.join(archive.namelist()) or 'none'}") from None
    try:
        with archive.open(member) as stream:
            version = np.lib.format.read_magic(stream)
            if version not in {(1, 0), (2, 0)}:
                raise ValueError(f"format version {version}")
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(stream)
            if dtype.kind not in "buif":
                raise ValueError(f"values of type {dtype}")
        # the header tells the size, so a small file that unpacks to a huge array is refused unread
        memory.require(f"array {name!r}", math.prod(shape), "give fewer images", itemsize=max(dtype.itemsize, 4))
        with archive.open(member) as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"array {name!r} must be a plain numeric array, got {error}") from None


def _with_channel(images: Array) -> Array:
    return images[:, None] if images.ndim == 3 else images


def _checked_inputs(name: str, inputs: Array) -> Array:
    array = np.asarray(inputs)
    if array.ndim < 2 or 0 in array.shape:
        raise InputError(f"{name} must have shape (n, ...) without empty axes, got {array.shape}")
    if array.dtype.kind not in "uif":
        raise InputError(f"{name} must be numbers, got type {array.dtype}")
    if array.dtype.kind == "f":
        array = array.astype(np.float32)
        if not np.isfinite(array).all():
            raise InputError(f"{name} must be finite, got {int((~np.isfinite(array)).sum())} values that are not")
    array = array.view()
    array.setflags(write=False)
    return array


def _checked_labels(name: str, labels: NDArray[np.generic], count: int) -> Index:
    array = np.asarray(labels)
    if array.shape != (count,):
        raise InputError(f"{name} must have shape ({count},), one label per input, got {array.shape}")
    if array.dtype.kind not in "ui":
        raise InputError(f"{name} must be whole numbers from 0 up, got type {array.dtype}")
    if array.min() < 0 or array.max() >= LARGEST_LABEL:
        worst = array.min() if array.min() < 0 else array.max()
        raise InputError(f"{name} must be whole numbers from 0 up, below {LARGEST_LABEL}, got {worst}")
    array = array.astype(np.int64)
    array.setflags(write=False)
    return array


def _converted(inputs: Array) -> Array:
    if inputs.dtype == np.uint8:
        return inputs.astype(np.float32) / np.float32(255)
    return np.array(inputs)
