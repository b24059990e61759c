"""The command line: ``sdqviz`` and its commands, from ``app`` to ``doctor``."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sdqviz.error import InputError, Stopped
from sdqviz.progress import ShouldStop
from sdqviz.version import __version__

if TYPE_CHECKING:
    from sdqviz.choice import Choice
    from sdqviz.experiments.sweep import Sweep
    from sdqviz.report import Report

STOPPED = 130
"""Exit code after Ctrl-C, as shells expect it."""

app = typer.Typer(
    help="See how a neural network survives being compressed, with the theory beside the measurement.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and leave with its exit code: 2 for input that cannot be used, 130 after Ctrl-C."""
    try:
        app(args=arguments, prog_name="sdqviz")
    except InputError as error:
        typer.echo(f"sdqviz: {error}", err=True)
        sys.exit(2)
    except (Stopped, KeyboardInterrupt):
        typer.echo("sdqviz: stopped; what was finished is kept", err=True)
        sys.exit(STOPPED)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"sdqviz {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command("app")
def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="TCP port.")] = 8501,
    address: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for a class.")] = "127.0.0.1",
    browser: Annotated[bool, typer.Option(help="Open the page in a browser, where there is one.")] = True,
) -> None:
    """Serve the pages until Ctrl-C."""
    from sdqviz.ui.launch import launch

    _require_free(address, port)
    if browser and _has_screen():
        threading.Thread(target=_open_when_ready, args=(address, port), daemon=True).start()
    launch(address=address, port=port)


@app.command("doctor")
def diagnose() -> None:
    """Show versions, threads and whether every shipped file is whole; exit with 1 if something is wrong."""
    from sdqviz.cli.doctor import examine

    problems = []
    for finding in examine():
        mark = "ok" if finding.problem is None else "WRONG"
        typer.echo(f"{mark:5}  {finding.topic:14} {finding.value}")
        if finding.problem is not None:
            problems.append(finding.problem)
    for problem in problems:
        typer.echo(f"sdqviz: {problem}", err=True)
    if problems:
        raise typer.Exit(1)


@app.command("train")
def learn(
    network: Annotated[str, typer.Argument(help="Name of a catalogue network, for example mnist-fnn.")],
    seed: Annotated[int, typer.Option(help="Seed of the weights and of the order of the images.")] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A field of the network, for example images=cifar10."),
    ] = None,
    folder: Annotated[Path | None, typer.Option(help="Where to write; the cache folder by default.")] = None,
) -> None:
    """Train a network of the catalogue; an interrupted run goes on from its last epoch."""
    from sdqviz.networks.catalogue import NETWORKS
    from sdqviz.networks.training import train

    choice = method_from(NETWORKS[network], [f"seed={seed}", *(settings or [])])
    with _interruptible() as should_stop, _Meter() as meter:
        path = train(choice, meter, should_stop, folder)
    typer.echo(str(path))


@app.command("compress")
def shrink(
    network: Annotated[str, typer.Option(help="Name of a catalogue network.")] = "mnist-fnn",
    method: Annotated[str, typer.Option(help="Name of a method.")] = "frame",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="A field of the method, as often as needed; bits_by_layer.X=2."
        ),
    ] = None,
    network_seed: Annotated[int, typer.Option(help="Which training run of the network.")] = 0,
    network_settings: Annotated[
        list[str] | None,
        typer.Option("--network-set", metavar="KEY=VALUE", help="A field of the network, for example width=4."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the compression.")] = 0,
    calibration: Annotated[int, typer.Option(min=0, help="Inputs on which errors are measured.")] = 512,
    weights: Annotated[
        Path | None, typer.Option(help="A safetensors file of weights alone, in place of a network.")
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="A state dict (*.safetensors, *.pt, *.pth) for the network, in place of its own."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="An .npz file of images and labels to measure and test with.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the packed network here (*.sdq).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON instead of a table.")] = False,
) -> None:
    """Compress a trained network, or weights of one's own, and print what that did to it."""
    from sdqviz.methods import METHODS
    from sdqviz.networks.catalogue import NETWORKS

    how = method_from(METHODS[method], settings or [])
    which = method_from(NETWORKS[network], [f"seed={network_seed}", *(network_settings or [])])
    if output is not None:
        _require_writable(output)  # before the work, not after it
    if weights is not None and (state is not None or data is not None):
        raise InputError("weights must be given without state and data: weights alone have no forward pass, got both")
    from sdqviz.compression.compress import compress
    from sdqviz.networks import own_weights  # only now: the choices above are checked without loading torch

    with _interruptible() as should_stop, _Meter() as meter:
        if weights is not None:
            loaded = own_weights.weights(weights)
        elif state is not None:
            loaded = own_weights.network(which, state)
        else:
            loaded = which.load(progress=meter, should_stop=should_stop)
        if data is not None:
            loaded = own_weights.with_data(loaded, own_weights.data(data))
        inputs = None if loaded.dataset is None and calibration else calibration  # else: its example input, if any
        result = compress(loaded, how, inputs, seed, meter, should_stop)
    if output is not None:
        result.save(output)
    if as_json:
        typer.echo(json.dumps(result.report.to_dict(), indent=1, ensure_ascii=False))
    else:
        typer.echo(report_text(result.report))
        if output is not None:
            typer.echo(f"written: {output}, {output.stat().st_size:,} bytes")


@app.command("sweep")
def survey(
    plan: Annotated[str, typer.Argument(help="A plan's TOML file, or the name of a shipped one: mnist, example.")],
    store: Annotated[
        Path | None, typer.Option(help="SQLite file of finished runs; one in the cache folder by default.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Worker processes, each with one thread.")] = 1,
    dask: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Scheduler of a running Dask cluster that does the work.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="The most time one run may take.")] = None,
    memory: Annotated[
        float | None, typer.Option(metavar="MIB", help="The most memory one run may add to its worker.")
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try failed runs of the store again.")] = False,
    output: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the runs here; *.json.gz is packed.")
    ] = None,
) -> None:
    """Do every run of a plan that the store does not hold yet; a stopped or killed sweep goes on where it was."""
    from sdqviz.experiments import sweep
    from sdqviz.experiments.run_store import RunStore, default_path, write_runs

    chosen = sweep.Plan.read(_plan_file(plan))
    limits = sweep.Limits(seconds, memory)
    if output is not None:
        _require_writable(output)
    with RunStore(store or default_path()) as kept, _interruptible() as should_stop, _Meter() as meter:
        typer.echo(f"{len(chosen)} runs; kept in {kept.path}", err=True)
        result = sweep.run(
            chosen, kept, jobs=jobs, dask=dask, limits=limits, retry=retry, progress=meter, should_stop=should_stop
        )
    if output is not None:
        write_runs(result.runs, output)
    typer.echo(sweep_text(result))


@app.command("show")
def reveal(
    file: Annotated[Path, typer.Argument(help="A packed network (*.sdq).")],
    test: Annotated[bool, typer.Option("--test", help="Rebuild the network and test it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the recipe as JSON.")] = False,
) -> None:
    """Show what a packed file holds: its recipe, its sizes, every stored part; a damaged file is refused."""
    from sdqviz.compression import listing, packed_file

    found = packed_file.read(file)
    if as_json:
        typer.echo(json.dumps(found.recipe, indent=1, ensure_ascii=False))
        return
    rows: list[Sequence[str]] = [*listing.head(found)]
    if test:
        network = found.rebuild()
        tested = "this network comes without data" if network.dataset is None else f"{network.accuracy():.2%}"
        rows.append(("test accuracy", tested))
    typer.echo("\n".join([*aligned(rows), "", *aligned(listing.table(found))]))


@app.command("export")
def write_for_others(
    file: Annotated[Path, typer.Argument(help="A packed network (*.sdq).")],
    to: Annotated[Path, typer.Option("--to", help="What to write: weights.safetensors or model.onnx.")],
) -> None:
    """Write the dequantized weights as safetensors, or the network as ONNX, by the ending of the file's name."""
    if to.suffix not in {".safetensors", ".onnx"}:
        raise InputError(f"to must end in .safetensors or .onnx, got {to.name}")
    _require_writable(to)
    from sdqviz.compression import export, packed_file

    found = packed_file.read(file)
    network = found.rebuild() if to.suffix == ".onnx" or found.recipe["network"]["choice"] else None
    if to.suffix == ".onnx" and network is not None:
        content = export.onnx(network)
    else:
        content = export.packed_safetensors(found) if network is None else export.safetensors(network)
    to.write_bytes(content)
    typer.echo(f"written: {to}, {len(content):,} bytes")


@app.command("reproduce")
def repeat(
    what: Annotated[
        str, typer.Argument(help="table1 … table4, figure1, figure2, all (of these), pareto or geta.")
    ] = "all",
    nets: Annotated[int, typer.Option(min=1, max=100, help="Training runs per network; three are shipped.")] = 3,
    sizes: Annotated[str | None, typer.Option(help="Frame sizes N, for example 1000,7000.")] = None,
    steps: Annotated[
        str | None, typer.Option(help="Steps δ of tables 1, 2 and the figures, for example 0.5,0.25.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder for tables, figures and finished cells.")] = Path("reproduced"),
    only: Annotated[list[str] | None, typer.Option(help="Of geta: runs by name; may be given again.")] = None,
    record: Annotated[bool, typer.Option(help="Of geta: write the recordings that are shipped to the assets.")] = False,
) -> None:
    """Recompute the tables and figures of Czaja & Na (arXiv 2404.08131), or compare methods: pareto, geta.

    The first compares all methods by size; the second trains with joint pruning and quantization and shows the
    baselines beside it. A killed run goes on where it was.
    """
    if what == "geta":
        typer.echo(_geta(output, only or [], record))
        return
    if what == "pareto":
        typer.echo(_pareto(nets, output))
        return
    from sdqviz.experiments import reproduce

    plan = reproduce.plan(
        what,
        nets=nets,
        sizes=None if sizes is None else tuple(int(n) for n in _numbers("sizes", sizes, whole=True)),
        steps=None if steps is None else tuple(_numbers("steps", steps)),
    )
    with _interruptible() as should_stop, _Meter() as meter:
        results = reproduce.run(plan, output, progress=meter, should_stop=should_stop)
    from sdqviz.plots.reproduce import write_html

    for result in results:
        result.write(output)
        write_html(result, output)
        typer.echo(result.to_markdown())
    typer.echo(f"written to {output.resolve()}: " + ", ".join(f"{result.name}.md/.json/.html" for result in results))


def _pareto(nets: int, output: Path) -> str:
    """Tune and test all methods at a few sizes, write the table, and return it."""
    from sdqviz.experiments import pareto
    from sdqviz.experiments.run_store import RunStore

    try:
        output.mkdir(parents=True, exist_ok=True)
        with RunStore(output / "pareto.sqlite") as store, _interruptible() as should_stop, _Meter() as meter:
            table = pareto.run(store, nets=nets, progress=meter, should_stop=should_stop)
        table.write(output)
    except OSError as error:
        raise InputError(f"output must be a folder that can be written, got {output}: {error}") from None
    return f"{table.to_markdown()}\nwritten to {output.resolve()}: pareto.md/.json"


def _geta(output: Path, only: Sequence[str], record: bool) -> str:
    """Run the cases of joint pruning and quantization; return the table and where everything is."""
    from sdqviz.experiments import geta_figures

    with _interruptible() as should_stop, _Meter() as meter:
        found = geta_figures.reproduce(output, only, meter, should_stop)
    text = geta_figures.table(found)
    (output / "geta.md").write_text(text + "\n", encoding="utf-8")
    shipped = [file.name for file in geta_figures.ship(found)] if record else []
    added = f"; recorded in the assets: {', '.join(shipped)}" if shipped else ""
    return f"{text}\nwritten to {output.resolve()}{added}"


# -- from text to choices and back ------------------------------------------------------------------


def method_from(cls: type[Choice], settings: Sequence[str]) -> Any:
    """Build a choice from ``key=value`` texts.

    Parameters
    ----------
    cls : type of Choice
        The choice; its field types and ranges check the values.
    settings : sequence of str
        ``size=1000``; ``bits_by_layer.hidden1=2`` sets one entry of a per-layer field.

    Raises
    ------
    InputError
        If a text has no ``=``, or a field or value is not allowed.
    """
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise InputError(f"--set must be KEY=VALUE, got {setting!r}")
        name, dot, layer = key.partition(".")
        if dot and isinstance(cls.defaults().get(name), tuple):
            values.setdefault(name, {})[layer] = _value(text)
        else:
            values[key] = _value(text)
    return cls.from_dict(values)


def _value(text: str) -> Any:
    """Read a number, true, false, null or a JSON object; anything else is a name."""
    try:
        return json.loads(text)
    except ValueError:
        return {"none": None, "True": True, "False": False, "None": None}.get(text, text)


def _numbers(name: str, text: str, *, whole: bool = False) -> list[float]:
    noun = "whole numbers" if whole else "numbers"
    try:
        values = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise InputError(f"{name} must be {noun} separated by commas, got {text!r}") from None
    if not values or (whole and any(value != value // 1 for value in values)):
        raise InputError(f"{name} must be {noun} separated by commas, got {text!r}")
    return values


def report_text(report: Report) -> str:
    """Return a report as text: the whole network first, then one line a layer."""
    method = dict(report.method)
    head = [("network", report.network), ("method", f"{method.pop('name')} ({_settings(method)})")]
    if report.accuracy_before is not None and report.accuracy_after is not None:
        head.append(("test accuracy", f"{report.accuracy_before:.2%} → {report.accuracy_after:.2%}"))
        head.append(("predictions changed", f"{report.changed_predictions:,}"))
    if report.inputs:
        head.append(("relative output error", f"{report.relative_output_error:.3g}"))
        head.append((f"worst output error of {report.inputs} inputs", f"{report.output_error:.3g}"))
        verdict = "holds" if report.output_bound_holds else "does not hold"
        head.append(("bound on it", f"{report.output_bound:.3g}, {verdict}: {report.output_bound_because}"))
    head.append(("bits per original weight", f"{report.bits_per_weight:.3f}"))
    head.append(("bytes", f"{report.bytes:,} (was {report.original_bytes:,})"))
    if not math.isnan(report.macs):  # versions before 0.2 did not count them
        head.append(("MACs of one input", f"{report.macs:,.0f} (was {report.original_macs:,.0f})"))
        head.append(("BOPs of one input", f"{report.bops:,.0f}, {report.relative_bops:.2%} of 32 × 32 bits"))
        head.append(("parameters", f"{report.parameters:,} (was {report.original_parameters:,})"))
    head.append(("seconds", f"{report.seconds:.2f}"))
    measured = report.layers[0].error_name if report.layers else "‖W−Q‖₂"
    rows: list[Sequence[str]] = [
        ("layer", "shape", "N", "levels", "δ", "bits/weight", "rel. error", "propagated", measured, "bound", "overload")
    ]
    for layer in report.layers:
        numbers = [layer.step, layer.bits_per_weight, layer.relative_error, layer.propagated_error, layer.error]
        texts = [f"{number:.3g}" for number in numbers]
        bound = f"{layer.bound:.3g}" + ("" if layer.bound_holds else " (unmet)")
        shape = "×".join(map(str, layer.shape))
        rows.append((layer.name, shape, str(layer.size), str(layer.levels), *texts, bound, str(layer.overload)))
    left = [f"left as it was: {line}" for line in report.left_alone]
    return "\n".join([*aligned(head), "", *aligned(rows), *left])


def sweep_text(result: Sweep) -> str:
    """Return a sweep as text: one line a run, then what failed and why, then the counts."""
    rows: list[Sequence[str]] = [
        ("network", "run", "seed", "inputs", "accuracy", "bits/weight", "sparsity", "rel. error", "seconds")
    ]
    for run in result.runs:
        if run.report is not None:
            one, accuracy = run.report, run.report.accuracy_after
            numbers = [one.bits_per_weight, one.sparsity, one.relative_output_error, run.seconds]
            network = f"{run.network['name']} {run.network.get('seed', 0)}"
            tested = "–" if accuracy is None else f"{accuracy:.2%}"
            texts = [f"{number:.3g}" for number in numbers]
            rows.append((network, run.label, str(run.seed), str(run.calibration), tested, *texts))
    failed = [f"failed: {run.network['name']}, {run.label}: {run.problem}" for run in result.failures]
    counts = f"{len(result.runs)} runs: {result.computed} done now in {result.seconds:.1f} s, "
    counts += f"{result.reused} from the store, {len(failed)} failed"
    return "\n".join([*(aligned(rows) if len(rows) > 1 else []), *failed, counts])


def _plan_file(plan: str) -> Path:
    """Return the file of a plan: the given one, or a shipped one of that name."""
    from sdqviz import asset

    shipped = asset.folder() / "sweeps" / f"{plan}.toml"
    given = Path(plan)
    return shipped if given.name == plan and not given.exists() and shipped.is_file() else given


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines with the columns of ``rows`` under one another."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _require_writable(output: Path) -> None:
    folder = output.resolve().parent
    if output.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"output must be a file in a folder that exists and can be written, got {output}")


def _settings(method: dict[str, Any]) -> str:
    shown = [f"{key}={value}" for key, value in method.items() if value is not None and value != {}]
    return ", ".join(shown)


# -- progress and Ctrl-C ----------------------------------------------------------------------------


class _Meter:
    """Writes how far a run is, with an estimate of what is left, to standard error."""

    EVERY_TTY, EVERY_FILE = 0.2, 5.0

    def __init__(self) -> None:
        self._stream = sys.stderr
        self._live = self._stream.isatty()
        self._begun = time.monotonic()
        self._first: float | None = None
        self._shown = -float("inf")
        self._width = 0

    def __enter__(self) -> _Meter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()

    def __call__(self, done: float, total: float, message: str) -> None:
        now = time.monotonic()
        share = done / total if total else 0.0
        if self._first is None or share < self._first:  # a new stage: estimate from its own pace
            self._first, self._begun = share, now
        if now - self._shown < (self.EVERY_TTY if self._live else self.EVERY_FILE):
            return
        self._shown = now
        line = f"{share:4.0%}  {message}{remaining(share - self._first, 1 - share, now - self._begun)}"
        if self._live:
            self._stream.write("\r" + line.ljust(self._width))
            self._width = len(line)
        else:
            self._stream.write(line + "\n")
        self._stream.flush()


def remaining(done: float, left: float, seconds: float) -> str:
    """Return ``", about 40 s left"`` from the pace so far, or nothing while it is too early to say."""
    if done < 0.01 or seconds < 1:
        return ""
    estimate = round(seconds * left / done)
    minutes, rest = divmod(estimate, 60)
    return f", about {minutes} min {rest} s left" if minutes else f", about {rest} s left"


@contextlib.contextmanager
def _interruptible() -> Iterator[ShouldStop]:
    """Turn the first Ctrl-C into a request to stop; a second one ends the process at once."""
    asked = threading.Event()

    def ask(number: int, frame: Any) -> None:
        asked.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)


# -- the browser ------------------------------------------------------------------------------------


def _require_free(address: str, port: int) -> None:
    """Refuse a port that is taken or an address this computer does not have."""
    import socket

    try:
        family, kind, protocol, _, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        raise InputError(f"address and port must be free on this computer, got {address}:{port}: {error}") from None


def _has_screen() -> bool:
    """Whether a person with a graphical screen started the command."""
    screen = sys.platform in {"darwin", "win32"} or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return screen and sys.stdout.isatty()


def _open_when_ready(address: str, port: int) -> None:
    import socket
    import webbrowser

    host = "127.0.0.1" if address in {"", "0.0.0.0", "::"} else address
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
            webbrowser.open(f"http://{host}:{port}")
            return
        time.sleep(0.1)


if __name__ == "__main__":
    main()
