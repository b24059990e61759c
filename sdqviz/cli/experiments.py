"""``sdqviz sweep``, ``reproduce`` and ``bench``: many runs, the tables and figures they make, and their speed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sdqviz.cli.meter import Meter, interruptible
from sdqviz.cli.settings import network_class, numbers, plan_file, require_writable
from sdqviz.cli.text import aligned, sweep_text
from sdqviz.error import InputError

if TYPE_CHECKING:  # a command loads what it needs when it is run
    from sdqviz.experiments.paper.result import Result


def sweep(
    plan: Annotated[str, typer.Argument(help="A plan's TOML file, or the name of a shipped one: mnist, example.")],
    network: Annotated[
        str | None,
        typer.Option(help="In place of the plan's networks: a catalogue name, or your own, my_file.py:make."),
    ] = None,
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
    from sdqviz.experiments import sweep as engine
    from sdqviz.experiments.run_file import write_runs
    from sdqviz.experiments.run_store import RunStore, default_path

    own = None if network is None else network_class(network)()
    chosen = engine.Plan.read(plan_file(plan))
    if own is not None:
        chosen = chosen.of_network(own)
    limits = engine.Limits(seconds, memory)
    if output is not None:
        require_writable(output)
    with RunStore(store or default_path()) as kept, interruptible() as should_stop, Meter() as meter:
        typer.echo(f"{len(chosen)} runs; kept in {kept.path}", err=True)
        result = engine.run(
            chosen, kept, jobs=jobs, dask=dask, limits=limits, retry=retry, progress=meter, should_stop=should_stop
        )
    if output is not None:
        write_runs(result.runs, output)
    typer.echo(sweep_text(result))


def bench(
    record: Annotated[
        Path | None,
        typer.Option(
            "--output", "--record", metavar="FILE", help="Write the figures here; assets/bench.json is the reference."
        ),
    ] = None,
    beside: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="Another checkout's folder, or a Python that has sdqviz: before and after, in turns."
        ),
    ] = None,
) -> None:
    """Measure the speed of the engine on this machine, each figure beside a yardstick of the same run.

    Beside them stand the ratios of the reference machine, and with --beside what another version takes.
    """
    from sdqviz.experiments import bench as engine
    from sdqviz.experiments import bench_figures as figures

    if record is not None:
        require_writable(record)
    with interruptible() as should_stop, Meter() as meter:
        found = engine.measure(meter, should_stop, beside)
    known = figures.reference()
    if record is not None:
        found.write(record)
    lines = [*aligned(figures.table(found, known)), "", f"here: {figures.where(found)}"]
    typer.echo("\n".join([*lines, *([] if known is None else [f"reference: {figures.where(known)}"])]))


def reproduce(
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
    from sdqviz.experiments.paper import plan as paper
    from sdqviz.experiments.paper import reproduce as engine

    plan = paper.plan(
        what,
        nets=nets,
        sizes=None if sizes is None else tuple(int(n) for n in numbers("sizes", sizes, whole=True)),
        steps=None if steps is None else tuple(numbers("steps", steps)),
    )
    with interruptible() as should_stop, Meter() as meter:
        results = engine.run(plan, output, progress=meter, should_stop=should_stop)
    for result in results:
        result.write(output)
        (output / f"{result.name}.html").write_bytes(paper_page(result))
        typer.echo(result.to_markdown())
    typer.echo(f"written to {output.resolve()}: " + ", ".join(f"{result.name}.md/.json/.html" for result in results))


def paper_page(result: Result) -> bytes:
    """Return a table or figure of the paper with our numbers as one page that opens offline."""
    from sdqviz.experiments.paper.plan import SOURCE
    from sdqviz.plots.bounds.paper import draw_paper
    from sdqviz.plots.theme import Ink
    from sdqviz.ui import html_report

    header, *rows = result.table()
    columns = {name: [row[place] for row in rows] for place, name in enumerate(header)}
    drawn = draw_paper(result, Ink(), live=True)
    view = html_report.View(result.title, SOURCE, [], [drawn], {"In numbers": columns}, {}, "", "", Ink(), result.notes)
    return html_report.write(view)


def _pareto(nets: int, output: Path) -> str:
    """Tune and test all methods at a few sizes, write the table, and return it."""
    from sdqviz.experiments import pareto
    from sdqviz.experiments.run_store import RunStore

    try:
        output.mkdir(parents=True, exist_ok=True)
        with RunStore(output / "pareto.sqlite") as store, interruptible() as should_stop, Meter() as meter:
            table = pareto.run(store, nets=nets, progress=meter, should_stop=should_stop)
        table.write(output)
    except OSError as error:
        raise InputError(f"output must be a folder that can be written, got {output}: {error}") from None
    return f"{table.to_markdown()}\nwritten to {output.resolve()}: pareto.md/.json"


def _geta(output: Path, only: Sequence[str], record: bool) -> str:
    """Run the cases of joint pruning and quantization; return the table and where everything is."""
    from sdqviz.experiments import geta_figures, geta_tables

    with interruptible() as should_stop, Meter() as meter:
        found = geta_figures.reproduce(output, only, meter, should_stop)
    text = f"{geta_tables.summary(found)}\n\n{geta_tables.table(found)}"
    (output / "geta.md").write_text(text + "\n", encoding="utf-8")
    shipped = [file.name for file in geta_figures.ship(found)] if record else []
    added = f"; recorded in the assets: {', '.join(shipped)}" if shipped else ""
    return f"{text}\nwritten to {output.resolve()}{added}"
