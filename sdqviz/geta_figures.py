"""Runs of joint pruning and quantization as they are shown: recorded, with baselines beside them, and in one table."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdqviz import asset, cost
from sdqviz.compression import Compression, assemble, compress
from sdqviz.error import InputError
from sdqviz.methods import METHODS
from sdqviz.network import Network
from sdqviz.networks import NETWORKS
from sdqviz.progress import Progress, ShouldStop, report, stop_if
from sdqviz.recording import Beside, Recording

if TYPE_CHECKING:
    from torch import nn

    from sdqviz.methods.geta import Geta
    from sdqviz.network_choice import NetworkChoice

SOURCE = "Qu et al., arXiv 2502.16638"
BASELINE_BITS = 8
"""Bits to which the fine-tuned baseline is rounded."""

CALIBRATION = 512
"""Inputs that ranges of activations are taken from, and path following is calibrated on."""

FOLDER = "recordings"
"""Where shipped recordings lie below the assets."""


@dataclasses.dataclass(frozen=True, eq=False)
class Finished:
    """A finished run.

    Attributes
    ----------
    recording : Recording
        Every recorded step, the report and the baselines.
    compression : Compression
        The smaller network.
    """

    recording: Recording
    compression: Compression


def run(
    network: NetworkChoice,
    method: Geta,
    seed: int = 0,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
    checkpoint: Path | None = None,
    on_moment: Callable[[Recording], None] | None = None,
    beside: bool = False,
) -> Finished:
    """Train, cut out, measure and record.

    Parameters
    ----------
    network : NetworkChoice
        The trained network to start from.
    method : Geta
        Sparsity, bits, rates and stages.
    seed : int
        Decides the order of the inputs.
    progress, should_stop : callable, optional
        As everywhere.
    checkpoint : Path, optional
        File that keeps the state of the training; the same call goes on from it after `Stopped`.
    on_moment : callable, optional
        Given the growing recording, without a report, at every recorded step, on the calling thread.
    beside : bool
        Whether the baselines are run too.

    Returns
    -------
    Finished

    Raises
    ------
    InputError
        If the choices do not fit the network, or the loss stops being finite.
    Stopped
        If asked to stop.
    """
    from sdqviz.methods.geta import result
    from sdqviz.methods.geta import run as training

    given = network.load(_part(progress, 0.0, 0.02), should_stop)
    share = 0.55 if beside else 0.85
    inputs = given.dataset.calibration(_calibration(given), seed) if given.dataset is not None else None
    trained = training.train(
        given, method, seed, _part(progress, 0.02, share), should_stop, checkpoint, on_moment or _nobody, inputs
    )
    made = assemble(
        given,
        method,
        result.items(trained, given.layers),
        inputs,
        seed,
        _part(progress, share, share + 0.1),
        should_stop,
    )
    recording = dataclasses.replace(
        trained.recording,
        network=network.to_dict(),
        accuracy_before=made.report.accuracy_before,
        report=made.report.to_dict(),
        beside=tuple(baselines(given, method, made, _part(progress, share + 0.1, 1.0), should_stop)) if beside else (),
    )
    report(progress, 100, 100, "done")
    return Finished(recording, made)


def record(
    network: NetworkChoice,
    method: Geta,
    seed: int = 0,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
    checkpoint: Path | None = None,
    on_moment: Callable[[Recording], None] | None = None,
    beside: bool = False,
) -> Recording:
    """Return the recording of a finished run; see `run`."""
    return run(network, method, seed, progress, should_stop, checkpoint, on_moment, beside).recording


def shipped() -> dict[str, Recording]:
    """Return the recordings that come with the package by name, from assets/recordings."""
    files = sorted((asset.folder() / FOLDER).glob("*.json.gz"))
    return {file.name.removesuffix(".json.gz"): Recording.load(file) for file in files}


def _nobody(_: Recording) -> None:
    """Listen to a recording that is only wanted at the end."""


def _calibration(network: Network) -> int:
    return CALIBRATION if network.dataset is None else min(CALIBRATION, network.dataset.calibration_size)


def _part(progress: Progress | None, begin: float, end: float) -> Progress | None:
    if progress is None:
        return None
    return lambda done, total, message: progress(
        round(100 * (begin + (end - begin) * done / max(total, 1e-12))), 100, message
    )


# -- baselines ------------------------------------------------------------------------------------------


def baselines(
    network: Network,
    method: Geta,
    made: Compression,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> Iterator[Beside]:
    """Yield what else could be done with the same network: pruning by size with fine-tuning, and no training at all.

    Parameters
    ----------
    network : Network
        The original.
    method : Geta
        What was run; the first baseline gets its sparsity, optimizer, steps and data.
    made : Compression
        What came of it; the other baselines get its BOPs.
    progress, should_stop : callable, optional
        As everywhere.
    """
    yield fine_tuned(network, method, made.report.seed, _part(progress, 0.0, 0.8), should_stop)
    weight_bits, input_bits = affordable_bits(made.report.relative_bops)
    for place, name in enumerate(("round-to-nearest", "gpfq")):
        report(progress, 0.8 + 0.1 * place, 1.0, f"beside: {name}")
        stop_if(should_stop)
        choice = METHODS.from_dict({"name": name, "bits": weight_bits})
        yield _untrained(network, choice, weight_bits, input_bits, made.report.seed, should_stop)


def affordable_bits(relative_bops: float, most: int = 16) -> tuple[int, int]:
    """Return bits (weights, activations) of an uncut network that costs at most some relative BOPs.

    The product is the largest that fits, with activations getting as many bits as weights, or one more.

    Examples
    --------
    >>> affordable_bits(0.015)  # at most 15 of 32 · 32
    (3, 4)
    """
    limit = relative_bops * 32 * 32
    pairs = [(low, low + more) for low in range(1, most) for more in (0, 1)]
    return max((pair for pair in pairs if pair[0] * pair[1] <= limit), default=(1, 1), key=math.prod)


def quantized_inputs(network: Network, bits: int, seed: int = 0) -> Network:
    """Return a network with a quantizer before each layer, its range 1.05 times the largest value of calibration.

    Parameters
    ----------
    network : Network
        With data.
    bits : int
        At least 2.
    seed : int
        Draws the calibration inputs.
    """
    from sdqviz.learned_quantizer import LearnedQuantizer, quantize_input
    from sdqviz.methods.geta.run import observe

    if network.dataset is None:
        raise InputError("dataset must be given to the network to calibrate it, got none")
    inputs = network.dataset.calibration(_calibration(network), seed)
    module = copy.deepcopy(network.module)
    for name, (_, largest) in observe(network, inputs).items():
        quantize_input(module.get_submodule(name), LearnedQuantizer.for_activations(largest, bits))
    return _like(network, module)


def _like(network: Network, module: nn.Module) -> Network:
    return Network(
        module, network.example_input, network.dataset, name=network.name, seed=network.seed, choice=network.choice
    )


def _untrained(
    network: Network, method: Any, weight_bits: int, input_bits: int, seed: int, should_stop: ShouldStop | None
) -> Beside:
    """Round or walk without training, then quantize activations."""
    done = compress(network, method, min(CALIBRATION, _calibration(network)), seed, None, should_stop)
    return _beside(
        f"{method.title}, {weight_bits} bits, activations {input_bits}",
        network,
        quantized_inputs(done.network, max(2, input_bits), seed),
        {layer.name: float(weight_bits) for layer in network.layers},
        done.report.bits_per_weight,
        0.0,
    )


def _beside(
    label: str, original: Network, found: Network, bits: Mapping[str, float], per_weight: float, sparsity: float
) -> Beside:
    spent = cost.compare(original, found, bits)
    return Beside(label, found.accuracy(), spent.relative_bops, per_weight, sparsity)


def fine_tuned(
    network: Network,
    method: Geta,
    seed: int = 0,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
    bits: int = BASELINE_BITS,
) -> Beside:
    """Remove the smallest units by their norm, train what is left just as long, then round weights and activations.

    The same number of units goes, with the same optimizer, rate, batches and number of steps; the rate falls along half
    a cosine in the last part as it does there. Weights are rounded with a scale for each neuron.

    Parameters
    ----------
    network : Network
        The original.
    method : Geta
        Gives sparsity, optimizer and steps.
    seed : int
        Decides the order of the inputs.
    progress, should_stop : callable, optional
        As everywhere.
    bits : int
        Of weights and activations at the end.
    """
    small = _trained_on(network, method, seed, progress, should_stop)
    done = compress(small, METHODS.from_dict({"name": "round-to-nearest", "bits": bits}), 0, seed, None, should_stop)
    numbers = sum(tensor.numel() for tensor in network.module.state_dict().values())
    return _beside(
        f"Smallest units removed, fine-tuned, {bits} bits",
        network,
        quantized_inputs(done.network, bits, seed),
        {layer.name: float(bits) for layer in network.layers},
        8 * done.report.bytes / numbers,
        method.sparsity,
    )


def _trained_on(
    network: Network, method: Geta, seed: int, progress: Progress | None, should_stop: ShouldStop | None
) -> Network:
    """Return the network without its smallest units, fine-tuned."""
    import torch
    from torch.nn.modules.batchnorm import _BatchNorm

    from sdqviz.methods.geta.run import Batches
    from sdqviz.network import main_tensor

    if network.dataset is None:
        raise InputError("dataset must be given to the network to train it, got none")
    module = _without_smallest(network, method.sparsity).eval().requires_grad_(True)
    kinds: dict[str, Callable[..., Any]] = {
        "sgd": lambda p: torch.optim.SGD(p, method.rate, momentum=method.momentum),
        "adam": lambda p: torch.optim.Adam(p, method.rate),
        "adamw": lambda p: torch.optim.AdamW(p, method.rate, weight_decay=method.decay),
    }
    optimizer = kinds[method.optimizer](module.parameters())
    batches, plan = Batches(network.dataset, method.batch, seed), method.plan
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for part in norms:
            part.train()
        for step in range(plan.steps):
            stop_if(should_stop)
            if step % 20 == 0:
                report(progress, step, plan.steps, f"beside: fine-tuning, step {step + 1} of {plan.steps}")
            for group in optimizer.param_groups:
                group["lr"] = method.rate * plan.rate_share(step)
            inputs, labels = batches.of(step)
            optimizer.zero_grad()
            torch.autograd.backward(torch.nn.functional.cross_entropy(main_tensor(module(inputs)), labels))
            optimizer.step()
    finally:
        torch.set_num_threads(threads)
    return _like(network, module.eval().requires_grad_(False))


def _without_smallest(network: Network, sparsity: float) -> nn.Module:
    """Cut out the units with the smallest Euclidean norm; one of each group stays."""
    import torch

    from sdqviz import dependency, removal
    from sdqviz.methods.geta.flat import FlatParameters, Units
    from sdqviz.methods.geta.saliency import Sums, least_salient, magnitude
    from sdqviz.methods.geta.stages import redundant_count

    graph = dependency.graph(network)
    module = copy.deepcopy(network.module)
    flat = FlatParameters(module)
    units = Units.of(graph, flat)
    values = flat.values[units.entries]
    sizes = magnitude(Sums.of(values, torch.zeros_like(values), units.unit, len(units.group)))
    free = torch.ones(len(units.group), dtype=torch.bool)
    gone = torch.zeros_like(free)
    gone[least_salient(sizes, units.group, free, redundant_count(sparsity, units.counts))] = True
    return removal.remove(network.module, removal.cut(graph, units.by_group(gone)))


# -- the table --------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Case:
    """One run of the table.

    Attributes
    ----------
    network : str
        Name in the catalogue.
    seed : int
        Seed of the network; the runs themselves have seed 0.
    method : Geta
        What is run.
    """

    network: str
    seed: int
    method: Geta

    @property
    def name(self) -> str:
        """Network, units removed in percent, and seed."""
        return f"{self.network}-{round(100 * self.method.sparsity)}-seed{self.seed}"


def cases() -> tuple[Case, ...]:
    """Return the runs of the table: the small network at two sparsities with three seeds, and a residual one."""
    geta: Any = METHODS["geta"]
    small = [Case("mnist-lenet", seed, geta(sparsity=sparsity)) for sparsity in (0.5, 0.7) for seed in (0, 1, 2)]
    residual = geta(
        sparsity=0.5,
        projection_periods=5,
        activation_bits_low=None,
        batch=32,
        warm_up_steps=20,
        projection_steps=120,
        joint_steps=200,
        cool_down_steps=460,
    )
    return (*small, Case("resnet20", 0, residual))


SHIPPED = ("mnist-lenet-50-seed0", "mnist-lenet-70-seed0", "resnet20-50-seed0")
"""Cases whose recordings come with the package."""


def reproduce(
    output: Path, only: Sequence[str] = (), progress: Progress | None = None, should_stop: ShouldStop | None = None
) -> dict[str, Recording]:
    """Run all cases with their baselines; a recording that is there already is taken, one that was begun goes on.

    Parameters
    ----------
    output : Path
        Folder for recordings and checkpoints.
    only : sequence of str
        Names of cases; all of them by default.
    progress, should_stop : callable, optional
        As everywhere.

    Returns
    -------
    dict of str to Recording

    Raises
    ------
    InputError
        If there is no case of a name, or the folder cannot be written.
    """
    known = {case.name: case for case in cases()}
    for name in only:
        if name not in known:
            raise InputError(f"case must be one of {', '.join(known)}, got {name!r}")
    wanted = [known[name] for name in only or known]
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"output must be a folder that can be written, got {output}: {error}") from None
    found = {}
    for place, case in enumerate(wanted):
        file, checkpoint = output / f"{case.name}.json.gz", output / f"{case.name}.state"
        recording = _finished(file, case)
        if recording is None:
            part = _named(_part(progress, place / len(wanted), (place + 1) / len(wanted)), case.name)
            choice = NETWORKS[case.network](seed=case.seed)
            recording = record(choice, case.method, 0, part, should_stop, checkpoint, None, beside=True)
            recording.save(file)
            checkpoint.unlink(missing_ok=True)
        found[case.name] = recording
    return found


def _finished(file: Path, case: Case) -> Recording | None:
    """Return the recording of a case if it was made already by this choice."""
    if not file.is_file():
        return None
    recording = Recording.load(file)
    same = recording.method == case.method.to_dict() and recording.network.get("seed") == case.seed
    return recording if same and recording.finished else None


def _named(progress: Progress | None, name: str) -> Progress | None:
    return None if progress is None else lambda done, total, message: progress(done, total, f"{name}: {message}")


def ship(recordings: Mapping[str, Recording]) -> list[Path]:
    """Write the recordings that come with the package to the assets; return the files."""
    folder = asset.folder() / FOLDER
    folder.mkdir(exist_ok=True)
    files = []
    for name in SHIPPED:
        if name in recordings:
            recordings[name].save(folder / f"{name}.json.gz")
            files.append(folder / f"{name}.json.gz")
    asset.write_manifest()
    return files


def table(recordings: Mapping[str, Recording]) -> str:
    """Return the cases as a table in Markdown: test accuracy, relative BOPs and bits per original number."""
    lines = [
        f"GETA ({SOURCE}) beside other ways to the same sparsity or the same BOPs; accuracy on all test images",
        "",
        "| run | way | accuracy | to float | relative BOPs | bits per number |",
        "|---|---|---|---|---|---|",
    ]
    for name, recording in recordings.items():
        told, before = recording.report, recording.accuracy_before
        if told is None or before is None:
            continue
        rows: list[tuple[str, float, float, float]] = [("float", before, 1.0, 32.0)]
        rows.append(("GETA", told["accuracy_after"], told["relative_bops"], told["bits_per_weight"]))
        for one in recording.beside:
            accuracy = math.nan if one.accuracy is None else one.accuracy
            rows.append((one.label, accuracy, one.relative_bops, one.bits_per_weight))
        for label, accuracy, share, bits in rows:
            difference = 100 * (accuracy - before)
            lines.append(
                f"| {name} | {label} | {100 * accuracy:.2f} % | {difference:+.2f} | {100 * share:.2f} % | {bits:.2f} |"
            )
    return "\n".join(lines)
