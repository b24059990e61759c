"""A recorded run of joint pruning and quantization: what every recorded step looked like, as numbers only."""

from __future__ import annotations

import dataclasses
import gzip
import io
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdqviz import asset
from sdqviz.error import InputError
from sdqviz.pruning.outline import GroupOutline, Vertex
from sdqviz.report import Report
from sdqviz.strict_json import number, read_json, spelled, write_json

FOLDER = "recordings"
"""Where shipped recordings lie below the assets."""

ENDING = ".json.gz"
"""Ending of the files."""

LARGEST = 64 << 20
"""Bytes a file may unpack to."""

BESIDE_NUMBERS = ("relative_bops", "bits_per_weight", "sparsity")


@dataclasses.dataclass(frozen=True)
class Stage:
    """One of the stages: its name and the steps it spans, first included, last excluded."""

    name: str
    first: int
    last: int


@dataclasses.dataclass(frozen=True)
class Moment:
    """One recorded step.

    Attributes
    ----------
    step : int
        Steps taken before this moment.
    stage : str
        Name of the stage.
    loss : float
        Training loss of the last step.
    accuracy : float or None
        Test accuracy, 0 … 1, of the network as it stands; None where it was not tested.
    redundant, zero : float
        Share of prunable units marked redundant so far, and of those whose parameters are all exactly zero.
    relative_bops : float
        BOPs of the network as it stands over those of the original at 32 × 32 bits.
    weight_bits, activation_bits : dict of str to float
        Bits of each layer's two quantizers; activations empty when they are not quantized.
    ascents : int
        Joint steps so far on which the update of the redundant units was no descent direction.
    """

    step: int
    stage: str
    loss: float
    accuracy: float | None
    redundant: float
    zero: float
    relative_bops: float
    weight_bits: Mapping[str, float]
    activation_bits: Mapping[str, float]
    ascents: int = 0


@dataclasses.dataclass(frozen=True)
class Beside:
    """A baseline beside the run: what it is, and what it reached."""

    label: str
    accuracy: float | None
    relative_bops: float
    bits_per_weight: float
    sparsity: float


@dataclasses.dataclass(frozen=True)
class Recording:
    """One run, growing while it trains.

    Attributes
    ----------
    network, method : mapping
        The choices, as their ``to_dict``.
    seed : int
        Seed of the run.
    stages : tuple of Stage
        The whole plan.
    vertices, edges : tuple
        The dependency graph: layers, and pairs of indices into ``vertices``.
    groups : tuple of GroupOutline
        Its groups.
    moments : tuple of Moment
        What was recorded so far.
    accuracy_before : float or None
        Test accuracy of the original.
    report : mapping or None
        ``Report.to_dict`` of the finished run.
    beside : tuple of Beside
        Baselines, where they were run.
    seconds : float
        Time of the training so far.
    version : str
        Version of the engine.
    """

    network: Mapping[str, Any]
    method: Mapping[str, Any]
    seed: int
    stages: tuple[Stage, ...]
    vertices: tuple[Vertex, ...]
    edges: tuple[tuple[int, int], ...]
    groups: tuple[GroupOutline, ...]
    moments: tuple[Moment, ...] = ()
    accuracy_before: float | None = None
    report: Mapping[str, Any] | None = None
    beside: tuple[Beside, ...] = ()
    seconds: float = 0.0
    version: str = ""

    @property
    def steps(self) -> int:
        """Return how many steps the whole plan has."""
        return self.stages[-1].last

    @property
    def finished(self) -> bool:
        """Whether the run is complete."""
        return self.report is not None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON types; `from_dict` inverts it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recording:
        """Rebuild a recording from `to_dict`.

        Raises
        ------
        InputError
            If something is missing or unknown.
        """
        try:
            made = _rebuild(values)
        except KeyError as error:
            raise InputError(f"recording must be one that sdqviz wrote: it lacks {error}") from None
        except (TypeError, ValueError, AttributeError):
            raise InputError(
                "recording must be one that sdqviz wrote: an entry is unknown or of a wrong kind"
            ) from None
        made.check()
        return made

    def check(self) -> None:
        """Check that the parts go together, so that whatever reads a recording can rely on it.

        Raises
        ------
        InputError
            Naming the part that does not fit.
        """
        ends = [0, *(one.last for one in self.stages)]
        steps = [one.step for one in self.moments]
        removed = [(max(one.removed, default=-1), min(one.removed, default=0), one.units) for one in self.groups]
        faults = {
            "stages must follow one another from step 0": not self.stages
            or [one.first for one in self.stages] != ends[:-1]
            or ends != sorted(ends),
            "moments must follow one another": steps != sorted(set(steps)),
            "edges must join vertices": not all(0 <= end < len(self.vertices) for edge in self.edges for end in edge),
            "vertices must name groups": not all(
                0 <= group < len(self.groups) for one in self.vertices for group in one.groups
            ),
            "removed units must be of their group": not all(low >= 0 and high < units for high, low, units in removed),
        }
        for need, broken in faults.items():
            if broken:
                raise InputError(f"recording must be one that sdqviz wrote: {need}")

    def to_bytes(self) -> bytes:
        """Return the recording as compressed JSON, the same bytes for the same run; `from_bytes` inverts it."""
        text = write_json(spelled(self.to_dict()))
        return gzip.compress(text.encode(), mtime=0)

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "file") -> Recording:
        """Read compressed JSON; a file that would unpack to more than `LARGEST` bytes is refused unread.

        Raises
        ------
        InputError
            If it is not a recording.
        """
        try:
            with gzip.open(io.BytesIO(data)) as stream:
                text = stream.read(LARGEST + 1)
            if len(text) > LARGEST:
                raise InputError(f"{name} must unpack to at most {LARGEST >> 20} MiB, got more")
            values = read_json(text, f"{name} must be a recording", finite=False)  # versions before 0.3 wrote NaN
        except InputError:
            raise
        except (OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
            raise InputError(f"{name} must be a recording, got a file that cannot be read: {error}") from None
        return cls.from_dict(values)

    def save(self, path: str | Path) -> None:
        """Write the recording as compressed JSON, the same bytes for the same run."""
        Path(path).write_bytes(self.to_bytes())

    @classmethod
    def load(cls, path: str | Path) -> Recording:
        """Read a recording.

        Raises
        ------
        InputError
            If the file is not one.
        """
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise InputError(
                f"{Path(path).name} must be a recording, got a file that cannot be read: {error}"
            ) from None
        return cls.from_bytes(data, Path(path).name)


def shipped() -> dict[str, Path]:
    """Return the recordings that come with the package, by name."""
    folder = asset.folder() / FOLDER
    return {file.name.removesuffix(ENDING): file for file in sorted(folder.glob(f"*{ENDING}"))}


def _rebuild(values: Mapping[str, Any]) -> Recording:
    """Build a recording from plain JSON, turning every number into what it should be."""
    rest = dict(values)
    rest["stages"] = tuple(Stage(str(one["name"]), int(one["first"]), int(one["last"])) for one in rest["stages"])
    rest["vertices"] = tuple(
        Vertex(
            **one
            | {"name": str(one["name"]), "kind": str(one["kind"]), "groups": tuple(map(int, one["groups"]))}
            | {key: int(one[key]) for key in ("before", "after")}
        )
        for one in rest["vertices"]
    )
    rest["edges"] = tuple((int(a), int(b)) for a, b in rest["edges"])
    rest["groups"] = tuple(
        GroupOutline(
            **one
            | {"name": str(one["name"]), "because": str(one["because"]), "units": int(one["units"])}
            | {"members": tuple(map(str, one["members"])), "removed": tuple(map(int, one["removed"]))}
        )
        for one in rest["groups"]
    )
    rest["moments"] = tuple(moment_of(one) for one in rest["moments"])
    rest["beside"] = tuple(
        Beside(str(one["label"]), _optional(one["accuracy"]), *(number(one[key]) for key in BESIDE_NUMBERS))
        for one in rest["beside"]
    )
    rest["accuracy_before"] = _optional(rest["accuracy_before"])
    rest |= {"network": dict(rest["network"]), "method": dict(rest["method"]), "seed": int(rest["seed"])}
    rest |= {"seconds": float(rest["seconds"]), "version": str(rest["version"])}
    if rest["report"] is not None:
        rest["report"] = Report.from_dict(rest["report"]).to_dict()
    return Recording(**rest)


def moment_of(values: Mapping[str, Any]) -> Moment:
    """Rebuild a moment from what a file has of it, turning every number into what it should be."""
    return Moment(
        **dict(values)
        | {"step": int(values["step"]), "stage": str(values["stage"]), "accuracy": _optional(values["accuracy"])}
        | {key: number(values[key]) for key in ("loss", "redundant", "zero", "relative_bops")}
        | {
            key: {str(name): float(bits) for name, bits in values[key].items()}
            for key in ("weight_bits", "activation_bits")
        }
        | {"ascents": int(values.get("ascents", 0))}
    )


def _optional(value: Any) -> float | None:
    return None if value is None else number(value)
