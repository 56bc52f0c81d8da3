"""The printed plan as text."""

from rich.console import Console

from study.planning.plan import Plan, show_plan


def render_plan(plan: Plan) -> str:
    """What `--dry-run` prints for a plan, without colours."""
    console = Console(width=160, color_system=None)
    with console.capture() as capture:
        show_plan(plan, console)
    return capture.get()
