"""A network of one's own: what a function of a Python file returns, under the name ``my_file.py:make``.

The file is run, with everything it may do, when `from_file` is called, and only then: by whoever started the program,
who named it on the command line. A name in a link or in a file of choices finds what was made so, and runs nothing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import inspect
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sdqviz.choice import field
from sdqviz.error import InputError
from sdqviz.networks.catalogue import NETWORKS
from sdqviz.networks.catalogue.network_choice import NetworkChoice
from sdqviz.progress import Progress, ShouldStop, report
from sdqviz.recent import Recent

if TYPE_CHECKING:
    from torch import nn

    from sdqviz.networks.dataset import Dataset
    from sdqviz.networks.network import Network
    from sdqviz.networks.shards import Shards

RETURNS = "a torch.nn.Module, an sq.Network, or (module, example_input) with or without an sq.Dataset"
"""What the function must give."""


@dataclasses.dataclass(frozen=True)
class MadeNetwork(NetworkChoice):
    """What a function made; a subclass for each function."""

    place: ClassVar[str]
    """The file, as an absolute path, and the function."""

    function: ClassVar[Callable[..., Any]]
    """The function; called once for each seed."""

    seconds: ClassVar[float] = 0.0
    """Rough time of one pass of the test inputs."""

    shipped_seeds: ClassVar[tuple[int, ...]] = ()

    seed: int = field(
        0,
        label="Network seed",
        help="Given to the function if it has a parameter of that name; else it has no meaning here.",
        minimum=0,
        maximum=9999,
    )

    @property
    def ready(self) -> bool:
        """Whether nothing has to be trained: always."""
        return True

    @property
    def estimated_training_seconds(self) -> float:
        """Time of training: none."""
        return 0.0

    def layout(self) -> nn.Module:
        """Return the modules, with their weights."""
        return self.load().module

    def build(self) -> nn.Module:
        """Return the modules, with their weights."""
        return self.load().module

    def data(self) -> Dataset:
        """Return the data the function gave.

        Raises
        ------
        InputError
            If it gave none.
        """
        found = self.load().dataset
        if found is None:
            raise InputError(f"network {self.name} must come with data for this, got none from the function")
        return found

    def load(self, progress: Progress | None = None, should_stop: ShouldStop | None = None) -> Network:
        """Return what the function made; it is called once for each seed.

        Raises
        ------
        InputError
            If it raises, or returns something else.
        """
        found = _made.get((self.place, self.seed))
        if found is None:
            report(progress, 0, 1, f"calling {self.name}")
            found = _made.put((self.place, self.seed), _network(self))
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        """Let a worker process of the same program make the network anew."""
        return _again, (self.place, self.name, self.seed)


_made: Recent[tuple[str, int], Network] = Recent(4)


def from_file(place: str) -> type[MadeNetwork]:
    """Run a Python file, call one of its functions, and enter the network it makes into the catalogue.

    Parameters
    ----------
    place : str
        ``path/my_file.py:make``. The network is called ``my_file.py:make``.

    Returns
    -------
    type of MadeNetwork
        The choice, as ``NETWORKS["my_file.py:make"]`` gives it from now on.

    Raises
    ------
    InputError
        If there is no such file or function, it raises, or it returns something else than `RETURNS`.
    """
    name, whole = _names(place)
    if name in NETWORKS:
        known: Any = NETWORKS[name]
        if known.place == whole:
            return known  # type: ignore[no-any-return]
        raise InputError(f"network {name} must be given once, got it from {known.place} and from {whole}")
    cls = _choice_class(place)
    network = cls().load()  # whatever is wrong is found now, by whoever started the program
    begun = time.perf_counter()
    network.forward(network.example_input)
    rows = 0 if network.dataset is None else network.dataset.test_size
    cls.testing_seconds = (time.perf_counter() - begun) * rows / max(_rows(network.example_input), 1)
    cls.with_data = network.dataset is not None
    return NETWORKS.register(cls)  # type: ignore[return-value]


def _names(place: str) -> tuple[str, str]:
    """Return the name of a file's network, and its file, as an absolute path, with the function."""
    text, _, function = place.rpartition(":")
    file = Path(text).resolve()
    if not text.endswith(".py") or not function.isidentifier():
        raise InputError(f"network must be a file and a function, like my_file.py:make, got {place!r}")
    if not file.is_file():
        raise InputError(f"network must be in a file that exists, got {text}")
    return f"{file.name}:{function}", f"{file}:{function}"


def _choice_class(place: str) -> type[MadeNetwork]:
    """Run a file, and return the class of one of its functions; nothing is made yet, nor entered anywhere."""
    name, whole = _names(place)
    path, _, function = whole.rpartition(":")
    made = getattr(_module(Path(path)), function, None)
    if not callable(made):
        raise InputError(f"network file {Path(path).name} must have a function {function}, got none")
    about = {"name": name, "title": name, "place": whole, "function": staticmethod(made)}
    digest = hashlib.sha256(whole.encode()).hexdigest()[:12]
    return type(f"MadeNetwork{digest}", (MadeNetwork,), {"__module__": __name__, **about})


def _again(place: str, name: str, seed: int) -> NetworkChoice:
    """Return the choice in another process of the same program, which may not have run the file yet."""
    if name not in NETWORKS:
        from_file(place)
    return NETWORKS[name](seed=seed)


def _module(file: Path) -> Any:
    name = f"_sdqviz_{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise InputError(f"network file {file.name} must be one that Python can run, got another")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.parent))  # so that it finds the files beside it
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise InputError(f"network file {file.name} must run, got {_told(error, file)}") from error
    finally:
        sys.path.remove(str(file.parent))
    return module


def on_disk(place: str, shards: Shards) -> Network:
    """Run a Python file, and return the network one of its functions makes, with weights that stay in files on disk.

    The function is called so that its parameters take no memory; whatever numbers it gives them are lost.

    Parameters
    ----------
    place : str
        ``path/my_file.py:make``, as for `from_file`. It returns a module, or (module, example_input) with or without
        an sq.Dataset: an sq.Network has its weights in memory.
    shards : Shards
        A weight for every parameter and buffer.

    Raises
    ------
    InputError
        As by `from_file`, or if the weights do not fit.
    """
    from sdqviz.networks.mapped import fill_mapped, without_numbers

    choice = _choice_class(place)()
    with without_numbers():
        module, example, dataset = _made_by(choice)
    fill_mapped(module, shards, choice.name)
    return _wrapped(choice, module, example, dataset, f"weights of {shards.files[0].name}, on disk")


def _network(choice: MadeNetwork) -> Network:
    network = _wrapped(choice, *_made_by(choice))
    try:
        len(network.layers)  # refuses what has no layer to compress, and what is not finite
    except InputError as error:
        raise InputError(f"network {choice.name}: {error}") from None
    return network


def _wrapped(choice: MadeNetwork, module: nn.Module, example: Any, dataset: Any, note: str = "") -> Network:
    from sdqviz.networks.network import Network

    try:
        return Network(module, example, dataset, name=choice.name, seed=choice.seed, note=note)
    except InputError as error:
        raise InputError(f"network {choice.name}: {error}") from None


def _made_by(choice: MadeNetwork) -> tuple[nn.Module, Any, Any]:
    """Return the module, the example input and the data or None that a function gives."""
    import torch

    from sdqviz.networks.dataset import Dataset
    from sdqviz.networks.network import Network

    function, file = choice.function, Path(choice.place.rpartition(":")[0])
    given = {"seed": choice.seed} if "seed" in _parameters(function) else {}
    try:
        found = function(**given)
    except (Exception, SystemExit) as error:
        raise InputError(f"network {choice.name} must be made, got {_told(error, file)}") from error
    parts = found if isinstance(found, tuple) else (found,)
    if len(parts) == 1 and isinstance(parts[0], Network):
        whole = parts[0]
        parts = (whole.module, whole.example_input, *([] if whole.dataset is None else [whole.dataset]))
    elif len(parts) == 1 and isinstance(parts[0], torch.nn.Module):
        parts = (parts[0], _example(choice, parts[0]))
    fits = 2 <= len(parts) <= 3 and isinstance(parts[0], torch.nn.Module)
    if not fits or not isinstance(parts[-1] if len(parts) == 3 else None, Dataset | None):
        kinds = ", ".join(type(part).__name__ for part in parts)
        raise InputError(f"network {choice.name} must return {RETURNS}, got {kinds}")
    return parts[0], parts[1], parts[2] if len(parts) == 3 else None


def _parameters(function: Callable[..., Any]) -> Mapping[str, Any]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}


def _example(choice: MadeNetwork, module: nn.Module) -> Any:
    """Return an input for a module that says what it takes, as those of timm, transformers and Lightning do."""
    import torch

    told = getattr(module, "example_input_array", None)  # Lightning
    if isinstance(told, torch.Tensor):
        return told
    settings = getattr(module, "pretrained_cfg", None) or getattr(module, "default_cfg", None)  # timm
    shape = settings.get("input_size") if isinstance(settings, Mapping) else None
    generator = torch.Generator().manual_seed(0)
    if shape is not None:
        return torch.randn((2, *shape), generator=generator)
    pixels = getattr(getattr(module, "config", None), "image_size", None)  # transformers: pictures, then the rest
    if isinstance(pixels, int) and getattr(module, "main_input_name", "") == "pixel_values":
        channels = getattr(module.config, "num_channels", 3)
        return {"pixel_values": torch.randn((2, channels, pixels, pixels), generator=generator)}
    dummy = getattr(module, "dummy_inputs", None)
    if isinstance(dummy, Mapping):
        return {key: value for key, value in dummy.items() if isinstance(value, torch.Tensor)}
    first = next((part for part in module.modules() if isinstance(part, torch.nn.Linear | torch.nn.Conv2d)), None)
    if isinstance(first, torch.nn.Linear):
        return torch.randn((2, first.in_features), generator=generator)
    raise InputError(
        f"network {choice.name} must return (module, example_input) where the module does not say what it takes, "
        f"got {type(module).__name__} alone"
    )


def _rows(example: Any) -> int:
    one = next(iter(example.values())) if isinstance(example, Mapping) else example
    one = one[0] if isinstance(one, tuple) else one
    return int(one.shape[0]) if getattr(one, "ndim", 0) else 1


def _told(error: BaseException, file: Path) -> str:
    """Return an error in a few words, with the line of the file it came from."""
    line, step = None, error.__traceback__
    while step is not None:
        if Path(step.tb_frame.f_code.co_filename) == file:
            line = step.tb_lineno
        step = step.tb_next
    if isinstance(error, SyntaxError):
        line = error.lineno
    first = (str(error).strip() or "no message").splitlines()[0][:200]
    return f"{type(error).__name__}: {first}" + ("" if line is None else f" (line {line} of {file.name})")
