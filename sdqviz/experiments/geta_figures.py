"""Runs of joint pruning and quantization as they are shown: recorded, with baselines beside them, and in one table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdqviz import asset
from sdqviz.compression.compress import Compression, assemble
from sdqviz.error import InputError
from sdqviz.experiments.geta_baselines import baselines, calibration_size
from sdqviz.methods import METHODS
from sdqviz.methods.geta.recording import FOLDER, Recording
from sdqviz.networks.catalogue import NETWORKS
from sdqviz.progress import Progress, ShouldStop, part, report

if TYPE_CHECKING:
    from sdqviz.methods.geta import Geta
    from sdqviz.networks.catalogue.network_choice import NetworkChoice


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
    from sdqviz.methods.geta import result, training

    given = network.load(part(progress, 0.0, 0.02), should_stop)
    share = 0.55 if beside else 0.85
    inputs = given.dataset.calibration(calibration_size(given), seed) if given.dataset is not None else None
    trained = training.train(
        given, method, seed, part(progress, 0.02, share), should_stop, checkpoint, on_moment or _nobody, inputs
    )
    made = assemble(
        given,
        method,
        result.items(trained, given.layers),
        inputs,
        seed,
        part(progress, share, share + 0.1),
        should_stop,
    )
    recording = dataclasses.replace(
        trained.recording,
        network=network.to_dict(),
        accuracy_before=made.report.accuracy_before,
        report=made.report.to_dict(),
        beside=tuple(baselines(given, method, made, part(progress, share + 0.1, 1.0), should_stop)) if beside else (),
    )
    report(progress, 100, 100, "done")
    return Finished(recording, made)


def _nobody(_: Recording) -> None:
    """Listen to a recording that is only wanted at the end."""


# -- the cases --------------------------------------------------------------------------------------------


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
    """Return the runs of the table: the small network at two sparsities with five seeds, and a residual one."""
    geta: Any = METHODS["geta"]
    small = [Case("mnist-lenet", seed, geta(sparsity=sparsity)) for sparsity in (0.5, 0.7) for seed in range(5)]
    residual = geta(sparsity=0.5, warm_up_steps=20, projection_steps=120, joint_steps=260, cool_down_steps=1200)
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
        recording = already_recorded(file, case)
        if recording is None:
            share = _named(part(progress, place / len(wanted), (place + 1) / len(wanted)), case.name)
            choice = NETWORKS[case.network](seed=case.seed)
            recording = run(choice, case.method, 0, share, should_stop, checkpoint, None, beside=True).recording
            recording.save(file)
            checkpoint.unlink(missing_ok=True)
        found[case.name] = recording
    return found


def already_recorded(file: Path, case: Case) -> Recording | None:
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
