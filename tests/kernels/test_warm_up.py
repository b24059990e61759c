"""After the warm-up no kernel waits to be compiled: all have the types with which they are called."""

import subprocess
import sys

EVERY_KERNEL = """
import importlib, pkgutil
import numpy as np
import sdqviz.kernels
from numba.core.dispatcher import Dispatcher
from sdqviz.kernels.shuffle import available
from sdqviz.kernels.threads import threading_layer
from sdqviz.kernels.warm_up import warm_up

found = pkgutil.iter_modules(sdqviz.kernels.__path__)
modules = [importlib.import_module(f"sdqviz.kernels.{one.name}") for one in found]
kernels = {one.py_func.__qualname__: one for module in modules for one in vars(module).values()
           if isinstance(one, Dispatcher) and one.py_func.__module__ == module.__name__}
warm_up()
known = {name: list(one.signatures) for name, one in kernels.items()}
within = {name for name in known if name.startswith("_")} | {"square_distance"}  # called by other kernels only
assert len(kernels) > 15
assert not [name for name, types in known.items() if not types and name not in within]

from sdqviz.path_following.beam import beam_walk
from sdqviz.path_following.factor import factorize
from sdqviz.path_following.row_frame import RowFrame
from sdqviz.path_following.row_product import FrameRows, RowProduct
from sdqviz.sigma_delta.recursion import SigmaDelta

rng = np.random.default_rng(0)
rows = FrameRows(RowFrame(7), np.ones(7, bool), rng.integers(0, 2, (5, 7)).astype(np.uint8), np.ones(5), 1)
for arithmetic in ("popcount", "int8", *(["shuffle"] if available() else [])):
    RowProduct(rows, arithmetic)(rng.normal(size=(3, 7)))
beam_walk(factorize(np.eye(4)), rng.normal(size=(4, 3)), 2, np.ones(3), 2)
SigmaDelta(2, 1.0).run(rng.normal(size=(3, 9))), SigmaDelta(2, 1.0, order=2).run(rng.normal(size=(3, 9)))
threading_layer()
new = {name: one.signatures for name, one in kernels.items() if list(one.signatures) != known[name]}
assert not new, new
"""


def test_every_kernel_is_ready_after_the_warm_up():
    run = subprocess.run([sys.executable, "-c", EVERY_KERNEL], capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
