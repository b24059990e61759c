"""Half-frequency harmonic frames: sines and cosines halfway between whole frequencies."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdqviz.array import Array, Index
from sdqviz.choice import field
from sdqviz.error import InputError
from sdqviz.frames import FRAMES
from sdqviz.frames.frame import Frame, FrameChoice, Harmonics

TOGETHER = 64
"""Vectors that are transformed together."""


@FRAMES.register
@dataclasses.dataclass(frozen=True)
class HalfFrequency(FrameChoice):
    """The harmonic frame moved by half a frequency, for even d.

    e_n = √(2/d) [cos 2π(k−½)n/N, sin 2π(k−½)n/N]_{k=1…d/2}, n = 0 … N−1. Unit-norm and tight from
    N = d on, where the harmonic frame is still singular; not zero-sum.

    Notes
    -----
    Frequencies k−½ and −(k−½) differ by whole numbers between 1 and d−1 < N, so all cross sums
    vanish and S = (N/d)I. Along the order as written every step has length
    √((8/d) Σ_k sin²(π(k−½)/N)), hence σ ≤ 2π√((d²−1)/12).

    Examples
    --------
    >>> frame = HalfFrequency(dimension=4, size=4).build()
    >>> frame.bounds, bool(frame.tightness < 1e-14)
    ((1.0, 1.0), True)
    >>> frame.vectors[1].round(3)
    array([ 0.5,  0.5, -0.5,  0.5])
    >>> bool(HalfFrequency(dimension=4, size=100).build().variation() <= 2 * np.pi * np.sqrt(15 / 12))
    True
    """

    name = "half-frequency"
    title = "Half-frequency harmonic"
    waves = True

    dimension: int = field(
        8, label="Dimension d", help="Length of the vectors that are quantized; even.", minimum=2, maximum=65536
    )

    def check(self) -> None:
        """Require d even and N ≥ d."""
        least = self.admissible_size(self.dimension, 1)
        if self.size < least:
            raise InputError(
                f"size must be at least {least} for dimension {self.dimension}, got {self.size}: "
                "fewer vectors than dimensions cannot span"
            )

    @classmethod
    def admissible_size(cls, dimension: int, at_least: int) -> int:
        """Return the smallest N ≥ ``at_least``, at least d; refuse an odd d."""
        if dimension < 2 or dimension % 2:
            raise InputError(f"dimension must be even for a half-frequency harmonic frame, got {dimension}")
        return max(at_least, dimension)

    def build(self, seed: int = 0) -> Frame:
        """Return the frame; it does not depend on the seed."""
        operator = (_OddSize if self.size % 2 else _EvenSize)(self.dimension, self.size)
        waves = Harmonics(np.arange(self.dimension // 2) + 0.5, np.ones(self.dimension))
        return Frame(operator, self.dimension, self.size, tight=True, harmonic=waves)


class _HalfFrequencies:
    """What the transforms of even and of odd N share."""

    def __init__(self, dimension: int, size: int) -> None:
        self._size = size
        self._scale = np.sqrt(2 / dimension)
        self._k = np.arange(1, dimension // 2 + 1)
        angle = np.pi * np.arange(2 * size) / size
        self._cosine, self._sine = np.cos(angle), np.sin(angle)

    def rows(self, index: Index) -> Array:
        # 2π(k−½)n/N depends on (2k−1)n mod 2N only
        turn = np.outer(index, 2 * self._k - 1) % (2 * self._size)
        rows = np.empty((len(index), 2 * len(self._k)))
        rows[:, ::2] = self._cosine[turn]
        rows[:, 1::2] = self._sine[turn]
        return rows * self._scale


class _EvenSize(_HalfFrequencies):
    """N even: one complex FFT of length N/2.

    The frequencies f = 2k−1 (in units of half turns) and their negatives are the odd numbers mod 2N;
    those ≡ 1 mod 4 determine a real signal. Write them f = 4m+1: then
    w_n = Σ_m G_m e^{2πimn/(N/2)} · e^{iπn/N} gives y_n = Re w_n and y_{n+N/2} = −Im w_n for n < N/2.
    """

    def __init__(self, dimension: int, size: int) -> None:
        super().__init__(dimension, size)
        half = size // 2
        self._half = half
        # G is a−ib for f itself, for k = 1, 3, …, and a+ib where −f was taken, for k = 2, 4, …, from the end on
        self._itself, self._taken = slice((dimension // 2 + 1) // 2), slice(-1, -1 - dimension // 4, -1)
        self._twist = self._cosine[:half] + 1j * self._sine[:half]

    def analyze(self, x: Array) -> Array:
        from scipy import fft

        from sdqviz.kernels.threads import threads

        y = np.empty((len(x), self._size))
        own = self._scale * self._half
        for start in range(0, len(x), TOGETHER):  # few enough that they stay in the cache
            rows = slice(start, start + TOGETHER)
            spectrum = np.zeros((len(y[rows]), self._half), complex)
            spectrum.real[:, self._itself], spectrum.imag[:, self._itself] = x[rows, ::4] * own, x[rows, 1::4] * -own
            spectrum.real[:, self._taken], spectrum.imag[:, self._taken] = x[rows, 2::4] * own, x[rows, 3::4] * own
            wave = fft.ifft(spectrum, axis=1, workers=threads(), overwrite_x=True)
            wave *= self._twist
            y[rows, : self._half] = wave.real
            np.negative(wave.imag, out=y[rows, self._half :])
        return y

    def adjoint(self, c: Array) -> Array:
        from scipy import fft

        from sdqviz.kernels.threads import threads

        x, back = np.empty((len(c), 2 * len(self._k))), np.conj(self._twist)
        for start in range(0, len(c), TOGETHER):
            rows = slice(start, start + TOGETHER)
            wave = np.empty((len(x[rows]), self._half), complex)
            wave.real = c[rows, : self._half]
            np.negative(c[rows, self._half :], out=wave.imag)
            wave *= back
            spectrum = fft.fft(wave, axis=1, workers=threads(), overwrite_x=True)
            itself, taken = spectrum[:, self._itself], spectrum[:, self._taken]
            x[rows, ::4], x[rows, 1::4] = itself.real * self._scale, itself.imag * -self._scale
            x[rows, 2::4], x[rows, 3::4] = taken.real * self._scale, taken.imag * self._scale
        return x


class _OddSize(_HalfFrequencies):
    """N odd: (−1)^n moves the frequency k−½ to the whole number k−½+N/2, so a real FFT of length N serves."""

    def __init__(self, dimension: int, size: int) -> None:
        super().__init__(dimension, size)
        self._place = (size + 1) // 2 - self._k  # N − (k−½+N/2): the conjugate, in 1 … (N−1)/2 as N ≥ d+1
        self._alternating = np.where(np.arange(size) % 2, -1.0, 1.0)

    def analyze(self, x: Array) -> Array:
        from scipy import fft

        from sdqviz.kernels.threads import threads

        spectrum = np.zeros((len(x), self._size // 2 + 1), complex)
        amplitude = self._scale * self._size / 2
        spectrum.real[:, self._place] = x[:, ::2] * amplitude
        spectrum.imag[:, self._place] = x[:, 1::2] * amplitude
        y = fft.irfft(spectrum, n=self._size, axis=1, workers=threads(), overwrite_x=True)
        y *= self._alternating
        return y

    def adjoint(self, c: Array) -> Array:
        from scipy import fft

        from sdqviz.kernels.threads import threads

        spectrum = fft.rfft(c * self._alternating, axis=1, workers=threads(), overwrite_x=True)[:, self._place]
        x = np.empty((len(c), 2 * len(self._k)))
        x[:, ::2] = spectrum.real * self._scale
        x[:, 1::2] = spectrum.imag * self._scale
        return x
