"""The terminal while a study runs: a live table, or one plain line per event when the output is no terminal."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from study.analysis.notation import scale, show_params, show_summary, show_value
from study.config.resolved_study import ResolvedStudy
from study.console.progress import Progress, RunningTrial
from study.execution.events import (
    ConfigurationSkipped,
    Emit,
    Event,
    Interrupted,
    SlotReady,
    SlotsStarting,
    TrackingProblem,
    TrialFinished,
    TrialReused,
    TrialStarted,
    WorkersDied,
)
from study.formatting import clock, plural
from trainables.common.types import TrialResult

ROWS = 8
"""Largest number of running trials in the live table, over all slots (at least two of each)."""

REDRAWS_PER_SECOND = 4
"""How often the terminal is drawn, regardless of the number of events."""


@contextmanager
def show_progress(study: ResolvedStudy, console: Console) -> Iterator[Emit]:
    """Show a run on `console` until the context ends. Yields the function that receives the driver's events."""
    display = LiveDisplay(study, console) if console.is_terminal else PlainDisplay(study, console)
    with display.shown():
        yield display.emit


class PlainDisplay:
    """Prints one line per event, except for epochs."""

    def __init__(self, study: ResolvedStudy, console: Console) -> None:
        self.progress = Progress(study)
        self.console = console
        self._reused_unprinted = 0

    @contextmanager
    def shown(self) -> Iterator[None]:
        """At the end, print the number of reused trials if it is not printed yet."""
        try:
            yield
        finally:
            self._print_reused()

    def emit(self, event: Event) -> None:
        """Process one event, and print its line if it has one."""
        self.progress.observe(event)
        if isinstance(event, TrialReused):
            self._reused_unprinted += 1
            return
        line = describe(event, self.progress)
        if line:
            self._print_reused()
            self._print(line)

    def _print_reused(self) -> None:
        if self._reused_unprinted:
            self._print(
                f"{plural(self.progress.reused, 'trial')} of {self.progress.planned} found finished in the store"
            )
            self._reused_unprinted = 0

    def _print(self, line: str) -> None:
        text = f"{clock(self.progress.elapsed_seconds)}  {line}"
        self.console.print(text, soft_wrap=True, markup=False, highlight=False)


class LiveDisplay:
    """A table that is redrawn. Failures and deaths of workers are printed above it, so that they stay visible."""

    def __init__(self, study: ResolvedStudy, console: Console) -> None:
        self.progress = Progress(study)
        self.console = console
        self._note = "starting"
        self._lock = threading.Lock()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Draw until the context ends. The last state stays on the screen."""
        live = Live(
            console=self.console,
            get_renderable=self._render,
            refresh_per_second=REDRAWS_PER_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        with live:
            yield

    def emit(self, event: Event) -> None:
        """Process one event. The next redraw shows it."""
        with self._lock:
            self.progress.observe(event)
            line = describe(event, self.progress)
            self._note = note(event, self._note)
        if line and is_lasting(event):
            self.console.print(line, markup=False, highlight=False, style="red")

    def _render(self) -> RenderableType:
        with self._lock:
            return render(self.progress, self._note)


def is_lasting(event: Event) -> bool:
    """Whether the live display prints the event's line permanently."""
    if isinstance(event, TrialFinished):
        return event.result.status == "failed"
    return isinstance(event, WorkersDied | TrackingProblem)


def note(event: Event, previous: str) -> str:
    """The note in the live header after `event`."""
    match event:
        case SlotsStarting():
            return f"starting Ray, {plural(event.slots, 'slot')} of {plural(event.workers, 'worker')}"
        case SlotReady() | TrialStarted():
            return ""
        case Interrupted():
            return "stopping; finished epochs are kept"
        case _:
            return previous


def describe(event: Event, progress: Progress) -> str:
    """The event in one line; empty for events that are not printed."""
    match event:
        case SlotsStarting():
            return f"starting Ray, {plural(event.slots, 'slot')} of {plural(event.workers, 'worker')}"
        case SlotReady():
            return f"slot {event.slot} is ready"
        case TrialFinished():
            count = f"{progress.finished}/{progress.planned}"
            ending = describe_result(event.result, progress.objective.metric)
            params = f"  {show_params(event.trial.params)}" if event.trial.params else ""
            return f"{count}  {event.trial.name}  {ending}{params}"
        case ConfigurationSkipped():
            return f"{event.arm} #{event.number}  skipped, {event.reason}"
        case WorkersDied(trials=()):
            return f"the workers of slot {event.slot} died and are started again"
        case WorkersDied():
            first, *others = event.trials
            running = progress.running.get(first)
            name = running.trial.name if running else first
            name += f" and {plural(len(others), 'other')}" if others else ""
            return f"the workers of slot {event.slot} died in {name} ({plural(event.deaths, 'time')})"
        case TrackingProblem():
            return f"MLflow: {event.message}"
        case Interrupted():
            return "stopping; finished epochs are kept"
        case _:
            return ""


def describe_result(result: TrialResult, metric: str) -> str:
    """How a trial ended, in one line."""
    if result.status == "failed":
        error = result.error
        if error is None:
            return "failed"
        place = f" in epoch {error.epoch}" if error.epoch else ""
        message = error.message.strip().splitlines() or [""]
        return f"failed{place}: {error.kind}: {message[0]}"
    value = ""
    if metric in result.metrics:
        unit = " %" if scale(metric) == 100 else ""
        value = f"  {metric} {show_value(result.metrics[metric], metric)}{unit}"
    if result.status == "pruned":
        return f"pruned after {plural(result.epochs, 'epoch')}{value}"
    return f"complete{value}  {result.seconds:.1f} s"


def render(progress: Progress, note: str) -> RenderableType:
    """The whole live display."""
    tables = [running_table(progress), best_table(progress)] if progress.running else [best_table(progress)]
    return Group(header(progress, note), *tables)


def header(progress: Progress, note: str) -> RenderableType:
    """Name, times, counts and the bar."""
    remaining = progress.remaining_seconds()
    times = f"{clock(progress.elapsed_seconds)} gone, "
    times += "time to go unknown yet" if remaining is None else f"about {clock(remaining)} to go"
    counts = ", ".join(f"{progress.counts[status]} {status}" for status in ("complete", "pruned", "failed"))
    reused = f" ({progress.reused} from the store)" if progress.reused else ""
    reused += f"; {plural(progress.skipped, 'configuration')} skipped" if progress.skipped else ""
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(ratio=1, no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_row(Text(progress.study.study, style="bold"), times)
    bar = Table.grid(expand=True)  # a bar on its own leaves its line open
    bar.add_row(ProgressBar(total=max(progress.planned, 1), completed=progress.finished))
    lines = [grid, Text(f"{progress.finished} of {progress.planned} trials: {counts}{reused}"), bar]
    return Group(*lines, Text(note, style="yellow")) if note else Group(*lines)


def running_table(progress: Progress) -> Table:
    """One row per running trial, by slot; only the first trials of a large pack."""
    metric = progress.objective.metric
    table = open_table("running", "epoch", metric_header(metric))
    by_slot: dict[int, list[RunningTrial]] = {}
    for running in progress.running.values():
        by_slot.setdefault(running.slot, []).append(running)
    shown = max(2, ROWS // max(1, len(by_slot)))
    for _, trials in sorted(by_slot.items()):
        hidden = len(trials) - shown if len(trials) > shown + 1 else 0
        add_running(table, trials[: len(trials) - hidden], metric)
        if hidden:
            table.add_row(f"and {hidden} with them", "", "", "")
    return table


def add_running(table: Table, trials: list[RunningTrial], metric: str) -> None:
    """A row for each trial."""
    for running in trials:
        epoch = f"{running.epoch}/{running.epochs}" if running.epochs else str(running.epoch)
        value = "" if running.value is None else show_value(running.value, metric)
        table.add_row(escape(running.trial.name), epoch, value, escape(show_params(running.trial.params)))


def best_table(progress: Progress) -> Table:
    """Each arm's best configuration."""
    metric = progress.objective.metric
    table = open_table("best so far", "trials", metric_header(metric), "n")
    for arm in progress.study.arms:
        best = progress.best(arm.name)
        cells = ("", "", "")
        if best:
            cells = (show_summary(best.objective, metric), str(best.objective.n), escape(show_params(best.params)))
        table.add_row(escape(arm.name), str(progress.arm_counts[arm.name]), *cells)
    return table


def open_table(first: str, *numbers: str) -> Table:
    """A table without lines: names under the title `first`, numbers, and the hyperparameters in the remaining width."""
    table = Table(expand=True, box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column(first, no_wrap=True, min_width=len("best so far"))
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("hyperparameters", ratio=1, no_wrap=True, overflow="ellipsis")
    return table


def metric_header(metric: str) -> str:
    """The metric's key, with the unit of the column below it."""
    return f"{metric} %" if scale(metric) == 100 else metric
