"""Layer after layer to disk: the levels of a run in memory, blocks one by one, whatever is killed."""

import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.cli.main import main
from sdqviz.compression import block_by_block, packed_file
from sdqviz.error import InputError
from sdqviz.methods.calibrated import calibration as calibrations
from sdqviz.methods.calibrated.block_stream import BlockByBlock
from sdqviz.methods.calibrated.calibration import Calibration
from sdqviz.methods.calibrated.streams import Rerun


class Block(nn.Module):
    """A residual block that no tracer can follow: it looks at its numbers."""

    def __init__(self, width):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x, scale, memory=None):
        if memory is not None:
            memory.append(float(x.sum()))
        if float(x.abs().max()) > 1e9:
            return (x,)
        return (x + scale * self.down(torch.relu(self.up(self.norm(x)))),)


class Decoder(nn.Module):
    def __init__(self, width=12, blocks=3):
        super().__init__()
        self.embed = nn.Linear(5, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.head = nn.Linear(width, 4)

    def forward(self, x):
        memory, hidden = [], self.embed(x)
        for block in self.blocks:
            hidden = block(hidden, torch.tensor(0.5), memory=memory)[0]
        return self.head(hidden)


@pytest.fixture
def decoder():
    torch.manual_seed(0)
    x = torch.randn(40, 6, 5)
    return sq.Network(Decoder(), x[:2]), x


def levels(path):
    file = packed_file.read(path)
    return {row.name: {key: bytes(part.data) for key, part in row.parts.items()} for row in file.rows}, file


@pytest.mark.parametrize(
    ("name", "settings"),
    [("gptq", {"bits": 3}), ("spfq", {"bits": 4}), ("frame-calibrated", {"bits": 2, "biases": "corrected"})],
)
def test_blocks_one_by_one_give_the_levels_of_the_whole(decoder, tmp_path, monkeypatch, name, settings):
    network, x = decoder
    method = sq.METHODS.from_dict({"name": name, **settings})
    monkeypatch.setattr(calibrations, "STORE_BYTES", 0)
    monkeypatch.setattr(calibrations.Calibration.__init__, "__defaults__", ("auto", 0, None))  # all waits on disk
    with Calibration(network, x) as data:
        assert isinstance(data._stream, BlockByBlock)
    found = sq.compress_to_file(network, method, tmp_path / "blocks.sdq", x, seed=2)
    monkeypatch.setattr(calibrations, "find_blocks", lambda *_: None)
    with Calibration(network, x) as data:
        assert isinstance(data._stream, Rerun)
    whole = sq.compress(network, method, x, seed=2)
    whole.save(tmp_path / "whole.sdq")
    mine, file = levels(tmp_path / "blocks.sdq")
    other, expected = levels(tmp_path / "whole.sdq")
    assert mine == other and list(mine) == list(found.layers) and len(mine) == 8
    assert {key: value for key, value in file.recipe.items() if key != "checksum"} == {
        key: value for key, value in expected.recipe.items() if key != "checksum"
    }
    loaded = sq.load(tmp_path / "blocks.sdq", network)
    assert np.array_equal(loaded.outputs(x), whole.network.outputs(x))
    assert not (tmp_path / "blocks.sdq.unfinished").exists()


def test_weights_that_the_data_have_passed_take_no_memory(decoder):
    network, x = decoder
    before = {name: values.clone() for name, values in network.module.state_dict().items()}
    layers = {layer.name: layer for layer in network.layers}
    with Calibration(network, x) as data:
        own = dict(data._compressed.named_parameters())
        for stop in data.stops:
            data.moments(layers[stop])
            data.replace(stop, layers[stop].weight + 0.1, layers[stop].bias)
        theirs = dict(network.module.named_parameters())
        separate = [name for name in own if own[name].data_ptr() != theirs[name].data_ptr()]
        assert not [name for name in separate if name.startswith(("blocks.0", "blocks.1", "blocks.2"))]
    assert all(torch.equal(values, before[name]) for name, values in network.module.state_dict().items())


KILLED = """
import os, signal, sys
import torch
import sdqviz as sq
from sdqviz.compression import block_by_block as engine
sys.path.insert(0, sys.argv[2])
from test_block_by_block import Decoder
torch.manual_seed(0)
x = torch.randn(40, 6, 5)
network = sq.Network(Decoder(), x[:2])
write, done = engine.write_part, []
def kill(*arguments):
    if len(done) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    done.append(write(*arguments))
engine.write_part = kill
sq.compress_to_file(network, sq.METHODS["gptq"](bits=3), sys.argv[1], x)
"""


@pytest.mark.slow
def test_what_was_killed_goes_on_from_its_last_layer(decoder, tmp_path, monkeypatch, request):
    network, x = decoder
    method = sq.METHODS["gptq"](bits=3)
    out = tmp_path / "out.sdq"
    here = str(request.path.parent)
    gone = subprocess.run([sys.executable, "-c", KILLED, str(out), here], capture_output=True, check=False)
    assert gone.returncode == -signal.SIGKILL, gone.stderr.decode()
    with pytest.raises(InputError, match="output must be a new file or one of the same run"):
        sq.compress_to_file(network, method, out, x, seed=1)
    done = []
    write = block_by_block.write_part
    monkeypatch.setattr(block_by_block, "write_part", lambda *given: done.append(given[2].name) or write(*given))
    found = sq.compress_to_file(network, method, out, x)
    assert found.reused == 4 and len(done) == 4 and done[0] == "blocks.1.down"
    sq.compress_to_file(network, method, tmp_path / "again.sdq", x)
    assert out.read_bytes() == (tmp_path / "again.sdq").read_bytes()


def test_the_command_writes_layer_by_layer(tmp_path, capsys):
    out = tmp_path / "x.sdq"
    asked = [
        "compress",
        "--network",
        "mnist-lenet",
        "--method",
        "round-to-nearest",
        "--calibration",
        "0",
        "--by-layer",
        "-o",
    ]
    with pytest.raises(SystemExit, match="0"):
        main([*asked, str(out)])
    told = capsys.readouterr()
    assert "4 layers, 0 of them from before" in told.out
    assert "4 layers, " in told.err and " of memory beside the process (for " in told.err and ", about 0 s" in told.err
    assert packed_file.read(out).rebuild().accuracy(500) > 0.9
