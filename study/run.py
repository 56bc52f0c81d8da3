"""The command line.

`python -m study.run sweep.yaml` runs a study; `study` (or `python -m study`) has every command. Torch, Ray and MLflow
are imported inside the commands that need them, so that `--help` answers at once.
"""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

INVALID = 2
"""Exit code for input that the command refuses; it has started nothing."""

StudyFile = Annotated[
    Path,
    typer.Argument(
        help="Study file (YAML), or the name of a shipped study (`study presets` lists them).",
        metavar="STUDY",
        show_default=False,
    ),
]

app = typer.Typer(
    help="Run hyperparameter studies of cross-modal knowledge distillation, and read their results.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def print_version(wanted: bool) -> None:
    """If `wanted`, print the version of the installed package and exit."""
    if wanted:
        from importlib.metadata import version

        typer.echo(f"distillation-study {version('distillation-study')}")
        raise typer.Exit


@app.callback()
def common_options(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Declare the options that need no command; typer shows `app`'s help instead of this text."""


@app.command()
def run(
    file: StudyFile,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print what the run would do, and estimate its time. Write nothing."),
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start anew. Old results are kept: their directory is renamed.")
    ] = False,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", metavar="FILE", dir_okay=False, help="Write a summary of the run as JSON.", show_default=False
        ),
    ] = None,
) -> None:
    """Run a study, or resume it where it stopped, and write its report.

    Results go to `studies/` next to the study file; those of a shipped study
    go to `studies/` in the current directory.

    Exit codes: 0 complete; 1 stopped by an error; 2 invalid input;
    3 complete, but some trials failed; 130 interrupted.
    After 1 and 130 the same command resumes the study.
    """
    with input_errors(json_file):
        from study.commands import announce_preset, show_plan

        announce_preset(file)
        if dry_run:
            show_plan(file)
            return
        from study.runner import run_study

        code = run_study(file, fresh, json_file)
    raise typer.Exit(code)


@app.command()
def status(file: StudyFile) -> None:
    """Show how far a study is and its best configurations so far. Reads only."""
    with input_errors():
        from study.console.status import print_status
        from study.parsing.loader import load
        from study.planning.resolve import resolve

        print_status(resolve(load(file), compute=False))


@app.command()
def suggest_h(file: StudyFile) -> None:
    """Suggest the bottleneck dimension H from spectra. Trains the bottlenecks of the H grid, but no student."""
    with input_errors():
        from study.planning.suggest_h import print_suggestions

        print_suggestions(file)


@app.command()
def criterion(
    file: StudyFile,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", dir_okay=False, help="Write the table as JSON.", show_default=False),
    ] = None,
) -> None:
    """Predict which teachers will help, by the gap G = I(H1;H2) - I(H2;Y). Distils no student."""
    with input_errors(json_file):
        from study.planning.criterion_table import print_criterion

        print_criterion(file, json_file)


@app.command()
def report(file: StudyFile) -> None:
    """Write the report again from the stored results."""
    with input_errors():
        from study.commands import rebuild_report

        rebuild_report(file)


@app.command()
def sync(file: StudyFile) -> None:
    """Bring MLflow up to date with the stored results."""
    with input_errors():
        from study.commands import sync_tracking

        sync_tracking(file)


@app.command()
def export(
    file: StudyFile,
    arm: Annotated[
        str | None, typer.Option(metavar="ARM", help="Arm to choose from. Default: all arms.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Output folder. Default: `export/ARM` in the study directory.", show_default=False
        ),
    ] = None,
) -> None:
    """Export the best image-text student in open_clip's format, and register it in MLflow."""
    with input_errors():
        from study.export import print_export

        print_export(file, arm, output)


@app.command()
def ui(
    file: StudyFile,
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="Port. Default: 5000, or a free port if 5000 is in use.", show_default=False
        ),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the comparison in a web browser.")] = True,
) -> None:
    """Start the MLflow UI on the results of a study. Only this machine can reach it. Ctrl-C stops it."""
    with input_errors():
        from study.commands import open_ui

        open_ui(file, port, browser)


@app.command()
def cch_theory(
    n: Annotated[int, typer.Option("--n", help="Number of training pairs.")] = 10_000,
    p: Annotated[int, typer.Option("--p", help="Number of inputs of the student.")] = 100,
    sigma: Annotated[float, typer.Option(help="Standard deviation of the target's noise.")] = 0.8,
    repeats: Annotated[int, typer.Option(help="Number of training sets at each point.")] = 1000,
    teacher: Annotated[
        str, typer.Option(help="Teacher: `beta` has the true weights, `fitted` the best linear ones.")
    ] = "beta",
    folder: Annotated[Path, typer.Option(help="Folder for the figure and the table.")] = Path("cch_theory"),
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", dir_okay=False, help="Write the grid as JSON.", show_default=False),
    ] = None,
) -> None:
    """Run the synthetic study of CCH: simulated and exact risk, and where the criterion predicts the gain's sign."""
    with input_errors(json_file):
        from study.theory.commands import print_cch_theory

        print_cch_theory(n, p, sigma, repeats, teacher, folder, json_file)


@app.command()
def te_theory(
    steps: Annotated[int, typer.Option(help="Number of rows in a batch.")] = 256,
    dim: Annotated[int, typer.Option(help="Number of dimensions of an embedding.")] = 64,
    repeats: Annotated[int, typer.Option(help="Number of batches at each point.")] = 20,
    folder: Annotated[Path, typer.Option(help="Folder for the figure and the table.")] = Path("te_theory"),
) -> None:
    """Compare the TE proxies (TE1, TE2) with the exact transfer entropy of coupled Gaussian series."""
    with input_errors():
        from study.theory.commands import print_te_theory

        print_te_theory(steps, dim, repeats, folder)


@app.command()
def presets() -> None:
    """List the shipped studies: name, subject, and the data that each needs."""
    from study.reference.presets import list_presets

    typer.echo("\n".join(list_presets()))


@app.command()
def explain(
    key: Annotated[
        str,
        typer.Argument(
            help="Key of a study file, for example search, data.coco or method.kd.temperature.",
            metavar="KEY",
            show_default=False,
        ),
    ],
) -> None:
    """Explain a key of the study file: its type, default, bounds and meaning."""
    with input_errors():
        from study.reference.keys import explain as explanation

        typer.echo(explanation(key))


@contextmanager
def input_errors(json_file: Path | None = None) -> Generator[None]:
    """Print the problems of a user's input, a line each, and exit with 2. There is no traceback.

    Args:
        json_file: a file that the command writes at its end; it is refused now if its folder does not exist.
    """
    from study.errors import StudyError

    try:
        if json_file is not None and not json_file.absolute().parent.is_dir():
            raise StudyError(
                f"--json {json_file}: there is no folder {json_file.parent}; create it, or name another file"
            )
        yield
    except StudyError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(INVALID) from None


def main() -> None:
    """The command `study`, with its subcommands."""
    app(prog_name="study")


if __name__ == "__main__":
    only_run = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    only_run.command()(run)
    only_run()
