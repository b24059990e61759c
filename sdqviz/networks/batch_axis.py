"""Whether inputs have a batch axis: torch's layers take a single one without it, whose entries are no inputs."""

from __future__ import annotations

from typing import Any

from sdqviz.error import InputError
from sdqviz.networks.batch import parts


def batch_axis_asked(what: str, inputs: Any) -> Any:
    """Return a context in which a pass is refused whose first layer is given one input without a batch axis.

    Parameters
    ----------
    what : str
        What the inputs are called in the message.
    inputs : tensor, ndarray, tuple or mapping of these
        What passes through; where all have fewer axes than a layer is given, or more, the forward made or took one.

    Raises
    ------
    InputError
        In the context, on such a pass.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    most = max(len(part.shape) for part in parts(inputs))
    shapes = [tuple(part.shape) for part in parts(inputs)]
    convolutions = (torch.conv1d, torch.conv2d)

    class Asked(TorchFunctionMode):  # of this thread alone
        met = False

        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            named = kwargs or {}
            if not self.met and (function is torch.nn.functional.linear or function in convolutions):
                self.met = True
                entered, weight = (*args, *(named[key] for key in ("input", "weight") if key in named))[:2]
                bare = 1 if function is torch.nn.functional.linear else weight.ndim - 1
                if entered.ndim == bare == most:
                    raise InputError(f"{what} must have a batch axis first, got shape {shapes[0]}: give x[None]")
            return function(*args, **named)

    return Asked()
