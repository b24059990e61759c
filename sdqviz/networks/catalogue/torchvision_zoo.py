"""The classification networks of torchvision under its own names, with weights only where they are at hand."""

from __future__ import annotations

import dataclasses
import functools
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sdqviz.choice import field
from sdqviz.error import InputError
from sdqviz.networks.catalogue import NETWORKS
from sdqviz.networks.catalogue.network_choice import NetworkChoice
from sdqviz.networks.dataset import Dataset
from sdqviz.networks.state_file import fill, read_state
from sdqviz.progress import Progress, ShouldStop, report, stop_if

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sdqviz.networks.network import Network

RANDOM = "random weights: shapes and errors only"
"""Note of a network whose weights were drawn from the seed."""

WELL_KNOWN = (
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "maxvit_t",
    "mnasnet1_0", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "regnet_y_400mf", "resnet18", "resnet34",
    "resnet50", "resnext50_32x4d", "shufflenet_v2_x1_0", "squeezenet1_1", "swin_t", "vgg11", "vgg16", "vit_b_16",
    "wide_resnet50_2",
)  # fmt: skip
"""Names of torchvision's catalogue that a form offers, so that it need not load torchvision to list them."""

CLASSES = 1000
"""Classes of ImageNet, which torchvision's weights are for."""

NOISE_IMAGES = 4
"""Images of noise from which the batch normalisations of a network with random weights take their statistics."""

_drawing = threading.Lock()


@dataclasses.dataclass(frozen=True)
class TorchvisionChoice(NetworkChoice):
    """A network of torchvision's catalogue; each of its names has a class of its own, made on first use.

    Notes
    -----
    Images must come as torchvision's own transforms give them: of the right size, with three channels, in [0, 1]
    and then shifted and divided by the mean and deviation the weights were trained with.
    """

    testing_seconds: ClassVar[float] = 1.0

    seed: int = field(
        0, label="Network seed", help="Draws the weights where none are at hand.", minimum=0, maximum=9999
    )
    weights: str = field(
        "",
        label="Weight file",
        help="A safetensors or state-dict file. Empty: torch's own cache if it holds the weights, else random ones.",
    )
    classes: int = field(
        CLASSES, label="Classes", help="Number of outputs; ImageNet has 1000.", minimum=1, maximum=100_000
    )
    size: int | None = field(
        None,
        label="Image size",
        help="Height and width of the images; empty for the size the weights were trained with.",
        minimum=8,
        maximum=2048,
    )

    # -- what is asked of every network of the catalogue ---------------------------------------------

    def layout(self) -> nn.Module:
        """Return torchvision's module, as its constructor leaves it.

        Raises
        ------
        InputError
            If torchvision cannot build it for this size or number of classes.
        """
        from torchvision import models

        options: dict[str, Any] = {"num_classes": self.classes}
        if self.name in ("googlenet", "inception_v3"):
            options |= {"aux_logits": False, "init_weights": True}
            options |= {"transform_input": self._uses_imagenet}
        if self.name.startswith("vit_"):
            options["image_size"] = self.image_size
        elif self.name.startswith("maxvit"):
            options["input_size"] = (self.image_size, self.image_size)
        try:
            return models.get_model(self.name, weights=None, **options)
        except (AssertionError, RuntimeError, ValueError) as error:
            why = (str(error).strip() or "torchvision refuses it").splitlines()[0]
            raise InputError(f"size must be one that {self.name} can be built for, got {self.size}: {why}") from None

    def build(self) -> nn.Module:
        """Return the network with weights drawn by torchvision's own initialisation from the seed.

        A function of the choice that leaves torch's generator as it was. Batch normalisations take their
        statistics from a few images of noise, so that values neither vanish nor explode on the way through.
        """
        import torch

        with _drawing, torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            module = self.layout().eval()
            _start_heads(module)
        _settle(module, self._noise(NOISE_IMAGES))
        return module.eval()

    def data(self) -> Dataset:
        """Refuse: no images come with these networks.

        Raises
        ------
        InputError
            Always.
        """
        raise InputError(f"network {self.name} must be given images of one's own (load(dataset=...)), got none")

    @property
    def shipped(self) -> bool:
        """Whether the weights come with the package: never."""
        return False

    @property
    def ready(self) -> bool:
        """Whether `load` needs no training and no download: always."""
        return True

    def load(
        self, progress: Progress | None = None, should_stop: ShouldStop | None = None, *,
        dataset: Dataset | None = None, download: bool = False,
    ) -> Network:  # fmt: skip
        """Return the network with the weights of the file, else of torch's cache, else random ones.

        Parameters
        ----------
        progress, should_stop : callable, optional
            Told about, and asked between, the two steps: building and loading.
        dataset : Dataset, optional
            Images and labels to calibrate and test with, for example of `sdqviz.networks.dataset.from_npz`.
        download : bool
            Whether torchvision's weights may be fetched, into torch's cache, if they are not there. Nothing is
            ever fetched otherwise.

        Raises
        ------
        InputError
            If the file cannot be read, would run code, or does not fit (the first differing key is named); the
            download fails; or labels and images do not go with the network.
        """
        report(progress, 0, 2, f"building {self.name}")
        stop_if(should_stop)
        if dataset is not None:
            largest = int(max(dataset.calibration_labels.max(), dataset.test_labels.max()))
            if largest >= self.classes:
                raise InputError(f"labels must be below the {self.classes} classes of {self.name}, got {largest}")
        file = Path(self.weights) if self.weights else self._cached()
        if file is None and download:
            file = self._download()
        if file is None:
            network = self.wrap(self.build(), dataset, RANDOM)
        else:
            import torch

            with _drawing, torch.random.fork_rng(devices=[]):
                module = self.layout()
            report(progress, 1, 2, f"reading {file.name}")
            stop_if(should_stop)
            fill(module, read_state(file), f"weights {file.name}", self.name)
            network = self.wrap(module, dataset)
        report(progress, 2, 2, f"loaded {self.name}")
        return network

    def wrap(self, module: nn.Module, dataset: Dataset | None = None, note: str = "") -> Network:
        """Return a module of this architecture as a network.

        The example input is the first test image, or one image of noise where there is no data.
        """
        import torch

        from sdqviz.networks.network import Network

        example = self._noise(1) if dataset is None else torch.from_numpy(dataset.test_inputs[:1].copy())
        choice = self.to_dict() | {"weights": ""}  # a path on this computer is nobody else's business
        return Network(module.eval(), example, dataset, name=self.name, seed=self.seed, note=note, choice=choice)

    # -- sizes and torch's cache ----------------------------------------------------------------------

    @property
    def image_size(self) -> int:
        """Height and width of the images, in pixels."""
        if self.size is not None:
            return self.size
        known = self._known_weights()
        return int(known[0].transforms.keywords["crop_size"]) if known else 224

    @property
    def _uses_imagenet(self) -> bool:
        return not self.weights and self._cached() is not None

    def _noise(self, count: int) -> Tensor:
        import torch

        generator = torch.Generator().manual_seed(self.seed)
        return torch.randn((count, 3, self.image_size, self.image_size), generator=generator)

    def _known_weights(self) -> list[Any]:
        """Return torchvision's own weights for this choice, the recommended ones first."""
        from torchvision import models

        known = models.get_model_weights(self.name)
        ordered = sorted(known, key=lambda item: item is not known.DEFAULT)
        if self.name.startswith(("vit_", "maxvit")):  # built for one size, which the weights must share
            size = self.size or ordered[0].transforms.keywords["crop_size"]
            ordered = [item for item in ordered if item.transforms.keywords["crop_size"] == size]
        return ordered

    def _cached(self) -> Path | None:
        """Return the file of the best weights that torch's cache holds, if they are for these classes."""
        if self.classes != CLASSES:
            return None
        files = (_cache_file(item) for item in self._known_weights())
        return next((file for file in files if file.is_file()), None)

    def _download(self) -> Path:
        import torch

        known = self._known_weights()
        if self.classes != CLASSES or not known:
            raise InputError(
                f"{self.name} must have {CLASSES} classes and its own image size to download weights for it, "
                f"got classes={self.classes}, size={self.size}"
            )
        file = _cache_file(known[0])
        digest = re.search(r"-([0-9a-f]{8,})\.", file.name)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(
                known[0].url, str(file), hash_prefix=digest[1] if digest else None, progress=False
            )
        except (OSError, RuntimeError) as error:  # offline, no space, or a damaged file
            raise InputError(f"weights of {self.name} must be downloadable from {known[0].url}, got {error}") from None
        return file


def choice_class(name: str) -> type[NetworkChoice] | None:
    """Return the class of a name of torchvision's catalogue, the same one each time, or None for any other name."""
    if not re.fullmatch(r"[a-z]+[a-z0-9_]*", name):  # not worth loading torchvision for
        return None
    return _class_of(name)


@functools.cache
def _class_of(name: str) -> type[NetworkChoice] | None:
    from torchvision import models

    if name not in models.list_models(module=models):
        return None
    # the class name is part of what caches go by, so every network needs its own; none of ours starts like this
    fields = {
        "name": name,
        "title": name,
        "__doc__": f"The network that torchvision calls {name}.",
        "__module__": __name__,
    }
    return type(f"Torchvision_{name}", (TorchvisionChoice,), fields)


NETWORKS.extend("a name of torchvision's catalogue", choice_class)


def _cache_file(weights: Any) -> Path:
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name


def _start_heads(module: nn.Module) -> None:
    """Draw weights that torchvision starts at zero: the output of such a network would be zero throughout."""
    from torch import nn

    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d) and not part.weight.any():
            part.reset_parameters()


def _settle(module: nn.Module, images: Tensor) -> None:
    """Set the statistics of all batch normalisations to those of some images."""
    import torch
    from torch.nn.modules.batchnorm import _BatchNorm

    parts = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    if not parts:
        return
    momenta = [part.momentum for part in parts]
    for part in parts:
        part.train()
        part.momentum = 1.0
    try:
        with torch.no_grad():
            module(images)
    except (RuntimeError, ValueError) as error:
        size = tuple(images.shape[2:])
        raise InputError(f"size must be one the network takes, got {size}: {str(error).splitlines()[0]}") from None
    finally:
        for part, momentum in zip(parts, momenta, strict=True):
            part.momentum = momentum
            part.eval()
