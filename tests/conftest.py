"""What many tests share: how the suite runs in parallel, path following written out, made runs, drawn networks."""

import os

import numpy as np
import pytest

from sdqviz.kernels import draws


def pytest_xdist_auto_num_workers(config):
    """Run the whole suite in one process a core, and what is named on the command line in one process alone."""
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    return max(2, len(os.sched_getaffinity(0))) if whole else 0


def pytest_collection_modifyitems(items):
    """Start with the browser tests: one process runs them all, so nothing must wait for them at the end."""
    items.sort(key=lambda item: "browser" not in item.path.parts)  # stable: the rest keeps its order


def pytest_xdist_make_scheduler(config, log):
    """Keep a file's tests in one process, and all browser tests in one: they share a server and a browser."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return "browser" if nodeid.startswith("tests/browser/") else super()._split_scope(nodeid)

    return Scheduling(config, log)


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


@pytest.fixture(scope="session")
def made_run():
    """Return a function that makes a run with given figures, for what sorts, filters and draws runs."""
    import dataclasses

    from sdqviz.experiments.run_store import Run, run_key
    from sdqviz.report import LayerReport, Report

    def filled(cls, **given):
        kinds = {"float": 0.0, "int": 0, "str": "", "bool": False}
        values = {}
        for item in dataclasses.fields(cls):
            kind, _, optional = str(item.type).partition(" | ")
            values[item.name] = given.get(item.name, None if optional else kinds.get(kind, ()))
        return cls(**values)

    def make(method="gpfq", bits=2.0, accuracy=0.9, error=0.1, seed=0, network="mnist-fnn", layers=(), **more):
        choice = {"name": method} | more.pop("choices", {"bits": 2})
        problem = more.pop("problem", "")
        where = {"name": network, "seed": more.pop("network_seed", seed)}
        label = more.pop("label", "")
        rows = tuple(
            filled(LayerReport, **({"kind": "Linear", "shape": (4, 8), "weights": 32, "step": 0.1} | row))
            for row in layers
        )
        report = None
        if not problem:
            figures = {
                "network": network, "seed": seed, "method": choice, "layers": rows, "accuracy_before": 0.98,
                "accuracy_after": accuracy, "relative_output_error": error, "bits_per_weight": bits,
                "bytes": int(1000 * bits), "original_bytes": 32000, "seconds": 0.5, "version": "0.2.0",
            }  # fmt: skip
            report = filled(Report, **(figures | more))
        key = run_key(where, choice, 64, seed, f"{bits} {accuracy} {error} {sorted(more)}")
        return Run(key, where, choice, 64, seed, report, problem, 1.0, "0.2.0", label)

    return make


@pytest.fixture(scope="session")
def draw_parameters():
    """Return a function that draws all parameters and statistics of a module: none stays at its start, 0 or 1."""
    import torch
    from torch import nn

    def draw(module, seed=0):
        generator = torch.Generator().manual_seed(seed)
        scaling = nn.modules.batchnorm._NormBase | nn.LayerNorm | nn.GroupNorm
        with torch.no_grad():
            for part in module.modules():
                for name, tensor in [*part._parameters.items(), *part._buffers.items()]:
                    if tensor is None or not tensor.is_floating_point():
                        continue
                    if "var" in name:
                        tensor.uniform_(0.5, 1.5, generator=generator)
                    elif tensor.ndim < 2:
                        tensor.normal_(float(isinstance(part, scaling) and name == "weight"), 0.3, generator=generator)
                    else:
                        tensor.normal_(0, (1.5 / tensor[0].numel()) ** 0.5, generator=generator)
        return module.eval()

    return draw
