"""A recorded run of joint pruning and quantization: what every recorded step looked like, as numbers only."""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdqviz.error import InputError


@dataclasses.dataclass(frozen=True)
class Vertex:
    """One layer of the dependency graph, as it is drawn.

    Attributes
    ----------
    name, kind : str
        Path of the layer (or name of the operation) and what it is, for example ``"Conv2d"`` or ``"add"``.
    groups : tuple of int
        Indices into ``Recording.groups`` of the groups this layer belongs to.
    before, after : int
        Output channels of the layer before and after removal; 0 for operations without weights.
    """

    name: str
    kind: str
    groups: tuple[int, ...]
    before: int
    after: int


@dataclasses.dataclass(frozen=True)
class GroupOutline:
    """One group of channels that are removed together.

    Attributes
    ----------
    name : str
        Named after its first layer.
    units : int
        Its minimally removable structures.
    prunable : bool
        Whether any may go.
    because : str
        Why it is kept, if it is.
    members : tuple of str
        Its dependencies, each as one line of text.
    removed : tuple of int
        Units that are removed at the end; empty before.
    """

    name: str
    units: int
    prunable: bool
    because: str
    members: tuple[str, ...]
    removed: tuple[int, ...] = ()


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
        rest = dict(values)
        try:
            rest["stages"] = tuple(Stage(**one) for one in rest["stages"])
            rest["vertices"] = tuple(Vertex(**{**one, "groups": tuple(one["groups"])}) for one in rest["vertices"])
            rest["edges"] = tuple((int(a), int(b)) for a, b in rest["edges"])
            rest["groups"] = tuple(
                GroupOutline(**{**one, "members": tuple(one["members"]), "removed": tuple(one["removed"])})
                for one in rest["groups"]
            )
            rest["moments"] = tuple(Moment(**one) for one in rest["moments"])
            rest["beside"] = tuple(Beside(**one) for one in rest["beside"])
            return cls(**rest)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"recording must be one that sdqviz wrote, got a damaged one: {error}") from None

    def save(self, path: str | Path) -> None:
        """Write the recording as compressed JSON, the same bytes for the same run."""
        text = json.dumps(self.to_dict(), ensure_ascii=False, separators=(",", ":"))
        Path(path).write_bytes(gzip.compress(text.encode(), mtime=0))

    @classmethod
    def load(cls, path: str | Path) -> Recording:
        """Read a recording.

        Raises
        ------
        InputError
            If the file is not one.
        """
        try:
            values = json.loads(gzip.decompress(Path(path).read_bytes()))
        except (OSError, EOFError, ValueError) as error:
            raise InputError(
                f"{Path(path).name} must be a recording, got a file that cannot be read: {error}"
            ) from None
        return cls.from_dict(values)
