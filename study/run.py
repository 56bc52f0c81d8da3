"""The command line, nothing else.

`python -m study.run sweep.yaml` runs a study; `python -m study` (or `study`) has the commands around it. What needs
torch, Ray or MLflow is imported inside the commands, so that `--help` answers at once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

INVALID = 2
"""Exit code for a file or a directory that cannot be worked with; nothing was started."""

StudyFile = Annotated[Path, typer.Argument(help="The study file, YAML.", metavar="SWEEP.YAML", show_default=False)]

app = typer.Typer(
    help="Hyperparameter studies of cross-modal knowledge distillation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def run(
    file: StudyFile,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan; start nothing, write nothing.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Set the old study aside (kept) and begin anew.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write a summary of the run.", show_default=False)
    ] = None,
) -> None:
    """Run a study, or go on where it stopped.

    Exit codes: 0 complete, 2 invalid input, 3 complete with failed trials, 130 interrupted (the same command goes on).
    """
    with refusals():
        if dry_run:
            from study.commands import show_plan

            show_plan(file)
            return
        from study.runner import run_study

        code = run_study(file, fresh, json_file)
    raise typer.Exit(code)


@app.command()
def status(file: StudyFile) -> None:
    """Where the study stands; reads only."""
    with refusals():
        from study.console.status import print_status
        from study.parsing.loader import load
        from study.planning.resolve import resolve

        print_status(resolve(load(file), compute=False))


@app.command()
def suggest_h(file: StudyFile) -> None:
    """Suggest the bottleneck dimension H from spectra: trains bottlenecks over the H grid, but no student."""
    with refusals():
        from study.planning.suggest_h import print_suggestions

        print_suggestions(file)


@app.command()
def criterion(
    file: StudyFile,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the table as JSON.", show_default=False)
    ] = None,
) -> None:
    """Which teachers are expected to be of use, by G = I(H1;H2) - I(H2;Y): trains no student to imitate one."""
    with refusals():
        from study.planning.criterion_table import print_criterion

        print_criterion(file, json_file)


@app.command()
def report(file: StudyFile) -> None:
    """Rebuild the report from the store."""
    with refusals():
        from study.commands import rebuild_report

        rebuild_report(file)


@app.command()
def sync(file: StudyFile) -> None:
    """Bring MLflow up to date from the store."""
    with refusals():
        from study.commands import sync_tracking

        sync_tracking(file)


@app.command()
def export(
    file: StudyFile,
    arm: Annotated[str | None, typer.Option(help="Of this arm only.", show_default=False)] = None,
    output: Annotated[Path | None, typer.Option(metavar="DIR", help="Where it goes.", show_default=False)] = None,
) -> None:
    """Export the best image-text student for open_clip, and register it in MLflow."""
    with refusals():
        from study.export import print_export

        print_export(file, arm, output)


@app.command()
def ui(
    file: StudyFile,
    port: Annotated[int | None, typer.Option(help="Port; by default 5000 or a free one.", show_default=False)] = None,
    browser: Annotated[bool, typer.Option(help="Open the first link.")] = True,
) -> None:
    """Open the MLflow UI on the study, on this machine only."""
    with refusals():
        from study.commands import open_ui

        open_ui(file, port, browser)


@app.command()
def cch_theory(
    n: Annotated[int, typer.Option("--n", help="Training pairs.")] = 10_000,
    p: Annotated[int, typer.Option("--p", help="Inputs of the student.")] = 100,
    sigma: Annotated[float, typer.Option(help="Noise of the target.")] = 0.8,
    repeats: Annotated[int, typer.Option(help="Training sets at each point.")] = 1000,
    teacher: Annotated[str, typer.Option(help="beta: the true weights; fitted: the best linear ones.")] = "beta",
    folder: Annotated[Path, typer.Option(help="Where figure and table go.")] = Path("cch_theory"),
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the grid as JSON.", show_default=False)
    ] = None,
) -> None:
    """The synthetic study of CCH: simulated risk beside the closed form, and where the criterion is right."""
    with refusals():
        from study.theory.commands import print_cch_theory

        print_cch_theory(n, p, sigma, repeats, teacher, folder, json_file)


@app.command()
def te_theory(
    steps: Annotated[int, typer.Option(help="Rows of a batch.")] = 256,
    dim: Annotated[int, typer.Option(help="Dimensions of an embedding.")] = 64,
    repeats: Annotated[int, typer.Option(help="Batches at each point.")] = 20,
    folder: Annotated[Path, typer.Option(help="Where figure and table go.")] = Path("te_theory"),
) -> None:
    """The TE proxies (TE1, TE2) beside the exact transfer entropy of coupled Gaussian series."""
    with refusals():
        from study.theory.commands import print_te_theory

        print_te_theory(steps, dim, repeats, folder)


@app.command()
def presets() -> None:
    """The shipped studies: file, subject, and the data that each needs."""
    from study.reference.presets import list_presets

    typer.echo("\n".join(list_presets()))


@contextmanager
def refusals() -> Iterator[None]:
    """Print what is wrong with a user's file or directory, a line each, and exit with 2; no traceback."""
    from study.errors import StudyError

    try:
        yield
    except StudyError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(INVALID) from None


def main() -> None:
    """The command `study`, with its subcommands."""
    app(prog_name="study")


if __name__ == "__main__":
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command()(run)
    alone()
