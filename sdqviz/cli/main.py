"""The command line: ``sdqviz`` and its commands, from ``app`` to ``doctor``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from sdqviz.cli import compress, doctor, experiments, serve
from sdqviz.error import InputError, Stopped
from sdqviz.version import __version__

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


_COMMANDS: dict[str, Callable[..., None]] = {
    "app": serve.serve,
    "compress": compress.compress,
    "show": compress.show,
    "export": compress.export,
    "train": compress.train,
    "sweep": experiments.sweep,
    "reproduce": experiments.reproduce,
    "bench": experiments.bench,
    "doctor": doctor.diagnose,
}

for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)

if __name__ == "__main__":
    main()
