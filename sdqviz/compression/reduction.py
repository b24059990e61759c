"""Networks with channels cut out and quantizers before layers: from a method's hands, or as a file's recipe says."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sdqviz.error import InputError
from sdqviz.networks.layer import compressible_kinds
from sdqviz.networks.network import Network
from sdqviz.strict_json import shortened

if TYPE_CHECKING:
    from torch import nn

    from sdqviz.networks.learned_quantizer import LearnedQuantizer
    from sdqviz.pruning.removal import Cut


def small(name: str, recipe: Mapping[str, Any], module: nn.Module) -> nn.Module:
    """Return a module with the channels cut out that a recipe names, and with its quantizers; itself without any.

    Raises
    ------
    InputError
        If the network has no such channels; ``name`` is what the file is called.
    """
    from sdqviz.networks.learned_quantizer import LearnedQuantizer, quantize_input
    from sdqviz.pruning import removal

    if "cut" not in recipe:
        return module
    try:
        cut = removal.Cut.from_dict(recipe["cut"])
        _check_cut(cut)
        found = removal.remove(module, cut)
    except InputError as error:
        raise InputError(f"{name} must cut channels that the network has: {error}") from None
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise InputError(f"{name} must cut channels that the network has, got {shortened(str(error))}") from None
    kinds = compressible_kinds()
    layers = {path for path, part in module.named_modules() if isinstance(part, kinds)}
    for layer in recipe.get("input_quantizers", []):
        if not isinstance(layer, str) or layer not in layers:
            raise InputError(f"{name} must quantize what enters layers of the network, got {shortened(layer)}")
        quantize_input(found.get_submodule(layer), LearnedQuantizer(1.0, 4))  # its three numbers are among those kept
    return found


def _check_cut(cut: Cut) -> None:
    """Refuse indices that are not in order, or beyond the shapes that the recipe itself gives."""
    for path, dims in cut.kept.items():
        shape = cut.shapes.get(path)
        if shape is None:
            raise InputError(f"the shape of {shortened(path)} must be there, got none")
        for dim, kept in dims.items():
            if not 0 <= dim < len(shape) or not kept or kept[0] < 0 or kept[-1] >= shape[dim]:
                raise InputError(f"indices of {shortened(path)} must lie within {shape}, got others")
            if any(a >= b for a, b in itertools.pairwise(kept)):
                raise InputError(f"indices of {shortened(path)} must ascend, got others")


def reduced(network: Network, cut: Cut | None, input_quantizers: Mapping[str, LearnedQuantizer]) -> Network:
    """Return a network with channels cut out and quantizers before some of its layers.

    Parameters
    ----------
    network : Network
        Of the original widths; it stays as it is.
    cut : Cut or None
        The channels that go; None cuts nothing.
    input_quantizers : dict of str to LearnedQuantizer
        By layer; copied.
    """
    from sdqviz.networks.learned_quantizer import quantize_input
    from sdqviz.pruning import removal

    module = copy.deepcopy(network.module) if cut is None else removal.remove(network.module, cut)
    for name, quantizer in input_quantizers.items():
        quantize_input(module.get_submodule(name), copy.deepcopy(quantizer))
    return network.with_module(module)
