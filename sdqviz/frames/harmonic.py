"""Harmonic frames: sampled sines and cosines of increasing frequency, a closed curve on the sphere."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.error import InputError
from sdqviz.frames import FRAMES
from sdqviz.frames.frame import Frame, FrameChoice, Harmonics


@FRAMES.register
@dataclasses.dataclass(frozen=True)
class Harmonic(FrameChoice):
    """The real harmonic frame H_N^d.

    For d even e_n = √(2/d) [cos 2πkn/N, sin 2πkn/N]_{k=1…d/2}; for d odd a constant entry 1/√2 comes
    first and k runs to (d−1)/2. Unit-norm and tight; zero-sum for d even.

    Notes
    -----
    Benedetto, Powell & Yılmaz, IEEE Trans. Inf. Theory 52 (2006). For d even and N = d the top sine
    vanishes at every sample, so the vectors do not span R^d: N ≥ d+1 is required.

    Examples
    --------
    >>> frame = Harmonic(dimension=4, size=9).build()
    >>> frame.bounds
    (2.25, 2.25)
    >>> bool(abs(frame.synthesize(frame.analyze([1.0, 2.0, 3.0, 4.0])) - [1, 2, 3, 4]).max() < 1e-14)
    True
    """

    name = "harmonic"
    title = "Harmonic"
    waves = True

    def check(self) -> None:
        """Require N ≥ d+1 for d even and N ≥ d for d odd."""
        least = self.admissible_size(self.dimension, 1)
        if self.size < least:
            why = (
                "an even-dimensional harmonic frame with N = d is singular"
                if self.dimension % 2 == 0
                else "fewer vectors than dimensions cannot span"
            )
            raise InputError(f"size must be at least {least} for dimension {self.dimension}, got {self.size}: {why}")

    @classmethod
    def admissible_size(cls, dimension: int, at_least: int) -> int:
        """Return the smallest N ≥ ``at_least``: d+1 and up for d even, d and up for d odd."""
        return max(at_least, dimension + 1 if dimension % 2 == 0 else dimension)

    @classmethod
    def sums_to_zero(cls, dimension: int) -> bool:
        """Return whether d is even: an odd d has a constant coordinate."""
        return dimension % 2 == 0

    def build(self, seed: int = 0) -> Frame:
        """Return the frame; it does not depend on the seed."""
        waves = Harmonics(np.arange(1.0, self.dimension // 2 + 1), np.ones(self.dimension))
        operator = HarmonicOperator(self.dimension, self.size)
        return Frame(operator, self.dimension, self.size, tight=True, harmonic=waves)


class HarmonicOperator:
    """Analysis and synthesis as a real FFT restricted to the first d/2 frequencies.

    Parameters
    ----------
    dimension, size : int
        d and N, admissible for a harmonic frame.
    """

    def __init__(self, dimension: int, size: int) -> None:
        self._odd = dimension % 2
        self._pairs = dimension // 2
        self._size = size
        self._scale = np.sqrt(2 / dimension)
        self._signs = np.tile([1.0, -1.0], self._pairs)
        angle = 2 * np.pi * np.arange(size) / size
        self._cosine, self._sine = np.cos(angle), np.sin(angle)

    def analyze(self, x: Array) -> Array:
        """Map vectors, shape (M, d), to coefficients, shape (M, N), by one inverse real FFT a row."""
        from scipy import fft

        from sdqviz.kernels.threads import threads

        # all frequencies, or scipy would copy them to zeros
        spectrum = np.zeros((len(x), self._size // 2 + 1), complex)
        amplitude = self._scale * self._size
        # cosine and sine weights lie side by side as real and imaginary parts do: one pass writes both
        parts = spectrum.view(float)[:, 2 : 2 * self._pairs + 2]
        np.multiply(x[:, self._odd :], self._signs * (amplitude / 2), out=parts)
        if self._odd:
            spectrum[:, 0] = x[:, 0] * (amplitude / np.sqrt(2))
        return fft.irfft(spectrum, n=self._size, axis=1, workers=threads())

    def adjoint(self, c: Array) -> Array:
        """Map coefficients, shape (M, N), to Σ c_n e_n, shape (M, d), by one real FFT a row."""
        from scipy import fft

        from sdqviz.kernels.threads import threads

        spectrum = fft.rfft(c, axis=1, workers=threads())
        x = np.empty((len(c), 2 * self._pairs + self._odd))
        parts = spectrum.view(float)[:, 2 : 2 * self._pairs + 2]
        np.multiply(parts, self._signs * self._scale, out=x[:, self._odd :])
        if self._odd:
            x[:, 0] = spectrum[:, 0].real * self._scale / np.sqrt(2)
        return x

    def rows(self, index: Index) -> Array:
        """Return the chosen frame vectors, shape (len(index), d)."""
        # cos(2πkn/N) depends on kn mod N only: look it up instead of computing N·d cosines
        turn = np.outer(index, np.arange(1, self._pairs + 1)) % self._size
        rows = np.empty((len(index), 2 * self._pairs + self._odd))
        rows[:, self._odd :: 2] = self._cosine[turn]
        rows[:, self._odd + 1 :: 2] = self._sine[turn]
        if self._odd:
            rows[:, 0] = np.sqrt(0.5)
        return rows * self._scale
