"""What stands in a copy for a module that ``torch.compile`` wrapped: the module as it was."""

from __future__ import annotations

import sys
from typing import Any

from torch import nn


class Uncompiled(nn.Module):
    """Passes everything on to the module it holds, which keeps the name that the wrapper gave it.

    Parameters
    ----------
    original : torch.nn.Module
        What was compiled.
    """

    def __init__(self, original: nn.Module) -> None:
        super().__init__()
        self._orig_mod = original

    def forward(self, *positional: Any, **named: Any) -> Any:
        """Compute what was compiled."""
        return self._orig_mod(*positional, **named)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the module it holds."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("_orig_mod"), name)


def uncompiled(module: nn.Module) -> nn.Module:
    """Put modules as they were in place of what ``torch.compile`` made of them, in place, and return the module.

    Compiled code would be made anew for every hook; compiling is not what is measured here.
    """
    compiler = sys.modules.get("torch._dynamo.eval_frame")  # without it nothing was compiled
    if compiler is None:
        return module
    kind: type[nn.Module] = compiler.OptimizedModule
    made: dict[int, Uncompiled] = {}

    def stands_for(part: nn.Module) -> nn.Module:
        if not isinstance(part, kind):
            return part
        return made.setdefault(id(part), Uncompiled(part.get_submodule("_orig_mod")))

    for part in list(module.modules()):
        for key, child in part._modules.items():
            if child is not None:
                part._modules[key] = stands_for(child)
    return stands_for(module)
