"""Path following written out as in the papers, over samples instead of Gram matrices: what the fast form must equal."""

import numpy as np
import pytest

from sdqviz import draws


class NaivePath:
    """The recursions of SPFQ and the unified framework for inputs X, X̃ (m, N) and weights (N, M)."""

    @staticmethod
    def align(original, inputs, weights, order=1):
        squares = (inputs**2).sum(axis=0)
        state, aligned = np.zeros((len(inputs), weights.shape[1])), np.zeros_like(weights)
        for t in range(len(weights)):
            state += np.outer(original[:, t], weights[t])
            if squares[t] > 0:
                aligned[t] = inputs[:, t] @ state / squares[t]
            state -= np.outer(inputs[:, t], aligned[t])
        for _ in range(order - 1):
            for t in range(len(weights)):
                state += np.outer(inputs[:, t], aligned[t])
                if squares[t] > 0:
                    aligned[t] = inputs[:, t] @ state / squares[t]
                state -= np.outer(inputs[:, t], aligned[t])
        return aligned

    @staticmethod
    def quantize(inputs, aligned, quantizer, grid, keys, scaling=1.0):
        """Return q, and ‖ũ_t‖² after every step."""
        squares = (inputs**2).sum(axis=0)
        state, quantized = np.zeros((len(inputs), aligned.shape[1])), np.zeros_like(aligned)
        norms = np.empty_like(aligned)
        for t in range(len(aligned)):
            if squares[t] > 0:
                values = aligned[t] + inputs[:, t] @ state / (scaling * squares[t])
                quantized[t] = quantizer.apply(values, grid, draws.uniforms(keys, t))
            state += np.outer(inputs[:, t], aligned[t] - quantized[t])
            norms[t] = (state**2).sum(axis=0)
        return quantized, norms


@pytest.fixture(scope="session")
def naive():
    return NaivePath
