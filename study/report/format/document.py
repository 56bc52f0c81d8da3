"""A document as data, and its two forms: one self-contained HTML file, and Markdown with figures as separate files."""

import base64
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from study.report.format.figure_files import RenderedFigure


class Text(NamedTuple):
    """A paragraph. `backquotes` mark names."""

    text: str


class Items(NamedTuple):
    """A list of statements."""

    items: tuple[str, ...]


class Table(NamedTuple):
    """A table with a caption above it. Columns after the first `left` ones are aligned to the right."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1
    strong: tuple[int, ...] = ()
    """Rows to set in bold."""


class Code(NamedTuple):
    """Preformatted text; if there is a summary, it is folded under that line."""

    text: str
    summary: str = ""


class Heading(NamedTuple):
    """The title of a section."""

    text: str


Block = Text | Items | Table | Code | Heading | RenderedFigure

TEMPLATES = Path(__file__).parent / "templates"


def to_html(title: str, blocks: list[Block], end: str) -> str:
    """A whole page: styles and figures inside, no scripts, nothing to fetch.

    Args:
        title: Heading and title of the page.
        blocks: The content in order.
        end: The last line, in small print.

    Returns:
        The page; every text is escaped.

    """
    named = [(type(block).__name__, block) for block in blocks]
    return html_environment().get_template("report.html.j2").render(title=title, blocks=named, end=end)


@cache
def html_environment() -> Environment:
    """Jinja's environment for the templates of the report."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"inline": inline_html, "anchor": anchor, "base64": base64_text}
    return environment


def inline_html(text: str) -> Markup:
    """Escaped text, `backquoted` names as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # every part of it was escaped before


def base64_text(data: bytes) -> str:
    """Bytes as a data URI has them."""
    return base64.b64encode(data).decode()


def anchor(text: str) -> str:
    """The id of a heading."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def to_markdown(title: str, blocks: list[Block], end: str) -> str:
    """The same as Markdown; figures are files in `figures/`."""
    return "\n\n".join([f"# {title}", *(markdown_block(block) for block in blocks), end]) + "\n"


def markdown_block(block: Block) -> str:
    """One block as Markdown."""
    match block:
        case Heading(text):
            return f"## {text}"
        case Text(text):
            return text
        case Items(items):
            return "\n".join(f"- {item}" for item in items)
        case Table():
            return markdown_table(block)
        case Code(text, summary):
            fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
            return (f"{summary}\n\n" if summary else "") + f"{fence}\n{text.rstrip()}\n{fence}"
        case RenderedFigure():
            return f"![{block.title}](figures/{block.name}.png)\n\n**{block.title}.** {block.caption}"


def markdown_table(table: Table) -> str:
    """A table as Markdown."""

    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    rule = tuple("---" if column < table.left else "---:" for column in range(len(table.header)))
    rows = [
        tuple(f"**{cell}**" if index in table.strong and cell else cell for cell in row)
        for index, row in enumerate(table.rows)
    ]
    return "\n".join([table.caption, "", line(table.header), line(rule), *map(line, rows)])
