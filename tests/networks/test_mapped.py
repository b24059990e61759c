"""Networks whose weights stay on disk: the levels of the network in memory, and no more than a part of it read."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import sdqviz as sq
from sdqviz.cli.main import main
from sdqviz.compression import packed_file
from sdqviz.compression.block_by_block import compress_to_file
from sdqviz.error import InputError
from sdqviz.networks.mapped import Mapped, without_numbers
from sdqviz.networks.module_file import on_disk
from sdqviz.networks.shards import read_shards

FILE = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, width, looks):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.looks = looks
    def forward(self, x):
        if self.looks and float(x.abs().max()) > 1e9:  # what no tracer can follow
            return x
        return x + self.down(torch.relu(self.up(self.norm(x))))

class Net(nn.Module):
    def __init__(self, width, blocks, looks):
        super().__init__()
        self.register_buffer("scale", torch.full((1,), 0.5))
        self.register_buffer("phase", torch.arange(3.0), persistent=False)
        self.embed = nn.Linear(5, width)
        self.blocks = nn.ModuleList(Block(width, looks) for _ in range(blocks))
        self.head = nn.Linear(width, 4)
    def forward(self, x):
        x = self.embed(x) * self.scale + self.phase[1]
        for block in self.blocks:
            x = block(x)
        return self.head(x)

def example():
    return torch.randn(24, 5, generator=torch.Generator().manual_seed(1))
def looking():
    return Net(32, 3, True), example()
def traced():
    return Net(32, 3, False), example()
def wide():
    return Net(512, 6, True), example()
def tied():
    net = Net(32, 2, False)
    net.blocks[1].up.weight = net.blocks[0].up.weight
    return net, example()
def whole():
    return sq.Network(Net(8, 1, False), example())
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


def made(file, function):
    space = {"__name__": "mine"}
    exec(FILE, space)  # the same modules with numbers
    torch.manual_seed(3)
    module, inputs = space[function]()
    module.scale.fill_(0.75)
    return module, inputs


def saved(module, folder, kind=None):
    state = {name: value.clone() for name, value in module.state_dict().items()}
    if "blocks.1.up.weight" in state and module.blocks[1].up.weight is module.blocks[0].up.weight:
        del state["blocks.1.up.weight"]  # as those write who know of ties
    if kind is not None:
        state = {name: value.to(kind) for name, value in state.items()}
    names, paths = sorted(state), []
    for number in range(2):
        paths.append(folder / f"part-{number}.safetensors")
        save_file({name: state[name] for name in names[number::2]}, paths[-1])
    return read_shards(paths)


@pytest.mark.parametrize("function", ["looking", "traced", "tied"])
@pytest.mark.parametrize("name", ["gptq", "frame-calibrated"])
def test_levels_are_those_of_the_network_in_memory(file, tmp_path, function, name):
    module, inputs = made(file, function)
    method = sq.METHODS.from_dict({"name": name, "bits": 3})
    network = on_disk(f"{file}:{function}", saved(module, tmp_path))
    assert all(isinstance(parameter, Mapped) for parameter in network.module.parameters())
    compress_to_file(network, method, tmp_path / "disk.sdq", inputs)
    compress_to_file(sq.Network(module, inputs), method, tmp_path / "memory.sdq", inputs)
    mine, other = (packed_file.read(tmp_path / f"{place}.sdq") for place in ("disk", "memory"))
    for one, two in zip(mine.rows, other.rows, strict=True):
        assert one.name == two.name
        assert {key: bytes(part.data) for key, part in one.parts.items()} == {
            key: bytes(part.data) for key, part in two.parts.items()
        }
    assert mine.recipe["original"] == other.recipe["original"] and mine.recipe["kept"] == other.recipe["kept"]
    loaded = sq.load(tmp_path / "disk.sdq", sq.Network(module, inputs))
    assert np.array_equal(loaded.outputs(inputs), sq.load(tmp_path / "memory.sdq", loaded).outputs(inputs))


def test_weights_of_another_type_are_converted_on_disk(file, tmp_path):
    module, inputs = made(file, "traced")
    network = on_disk(f"{file}:traced", saved(module, tmp_path, torch.bfloat16))
    expected = module.to(torch.bfloat16).float()(inputs)
    torch.testing.assert_close(network.forward(inputs), expected, rtol=0, atol=0)
    assert all(isinstance(parameter, Mapped) for parameter in network.module.parameters())


def resident(name):
    """Return the bytes of files of a name that this process has in memory, by Linux's own table."""
    found, counts = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            counts = name in line
        elif counts and line.startswith("Rss:"):
            found += 1024 * int(line.split()[1])
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads what is in memory from /proc")
def test_what_was_used_is_let_go_of(file, tmp_path):
    module, inputs = made(file, "wide")
    network = on_disk(f"{file}:wide", saved(module, tmp_path))
    around, total = 2 << 21, sum(one.nbytes for one in module.parameters())
    seen = []

    def look(*_):
        seen.append(resident(f"{tmp_path}/part-"))

    compress_to_file(
        network, sq.METHODS["gptq"](bits=4, alphabet="midtread", fit="max"), tmp_path / "x.sdq", inputs, progress=look
    )
    look()
    assert len(seen) > 12 and max(seen) <= around < total / 4
    float(sum(parameter.sum() for parameter in network.module.parameters()))
    assert resident(f"{tmp_path}/part-") > total / 2  # what is not let go of is seen


def test_what_does_not_fit_is_named(file, tmp_path):
    module, _ = made(file, "traced")
    shards = saved(module, tmp_path)
    with pytest.raises(InputError, match=r"must fit mine.py:tied, got .*blocks\.2"):
        on_disk(f"{file}:tied", shards)
    with pytest.raises(InputError, match=r"must fit mine.py:wide, got no blocks\.3"):
        on_disk(f"{file}:wide", shards)
    with pytest.raises(InputError, match=r"network mine\.py:whole must be made"):
        on_disk(f"{file}:whole", shards)


def test_the_command_line_leaves_weights_on_disk(file, tmp_path, capsys):
    module, inputs = made(file, "traced")
    first, second = map(str, saved(module, tmp_path).files)
    out = str(tmp_path / "out.sdq")
    asked = ["compress", "--method", "gptq", "--by-layer", "-o", out, "--weights", first, second]
    with pytest.raises(SystemExit, match="0"):
        main([*asked, "--network", f"{file}:traced"])
    assert "8 layers, 0 of them from before" in capsys.readouterr().out
    compress_to_file(sq.Network(module, inputs), sq.METHODS["gptq"](), tmp_path / "memory.sdq", inputs)
    mine, other = packed_file.read(Path(out)), packed_file.read(tmp_path / "memory.sdq")
    assert [bytes(row.parts["levels"].data) for row in mine.rows] == [
        bytes(row.parts["levels"].data) for row in other.rows
    ]
    with pytest.raises(SystemExit, match="2"):
        main([*asked, "--network", "mnist-fnn"])
    assert "network must be a function of a file for weights that stay on disk" in capsys.readouterr().err


def test_other_threads_make_modules_as_ever():
    from threading import Thread

    found = []
    with without_numbers():
        assert nn.Linear(2, 2).weight.is_meta
        other = Thread(target=lambda: found.append(nn.Linear(2, 2).weight.is_meta))
        other.start()
        other.join()
    assert found == [False] and not nn.Linear(2, 2).weight.is_meta
