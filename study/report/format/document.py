"""A document as data, and its two forms: one HTML file that needs nothing else, and Markdown beside its figures."""

import base64
import html
import re
from typing import NamedTuple

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
    """Preformatted text; behind a summary line that opens it, if there is one."""

    text: str
    summary: str = ""


class Heading(NamedTuple):
    """The title of a section."""

    text: str


Block = Text | Items | Table | Code | Heading | RenderedFigure

CSS = """
:root { color-scheme: light; }
body { font: 15px/1.5 "Segoe UI", "Helvetica Neue", Arial, "Liberation Sans", sans-serif; color: #1b1b1b;
       background: #fff; max-width: 62rem; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; padding-bottom: .2rem; border-bottom: 1px solid #ccc; }
p, li { max-width: 50rem; }
nav { font-size: .85rem; margin: .8rem 0 0; }
nav a { margin-right: .9rem; color: #0b57a4; text-decoration: none; }
table { border-collapse: collapse; min-width: 26rem; font-size: .87rem; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; margin: .8rem 0 1.2rem; }
caption { text-align: left; color: #444; padding-bottom: .4rem; caption-side: top; }
th, td { padding: .25rem .7rem .25rem 0; text-align: right; vertical-align: top; }
thead th { border-top: 2px solid #222; border-bottom: 1px solid #222; font-weight: 600; vertical-align: bottom; }
tbody tr:last-child td { border-bottom: 2px solid #222; }
tbody tr:nth-child(even) td { background: #f7f7f7; }
.l { text-align: left; }
td:not(.l) { white-space: nowrap; }
tr.strong td { font-weight: 650; }
figure { margin: 1.2rem 0 1.6rem; }
figure img { max-width: 100%; height: auto; }
figcaption { font-size: .87rem; color: #444; max-width: 50rem; }
pre { background: #f5f5f5; padding: .7rem .9rem; overflow-x: auto; font-size: .8rem; line-height: 1.4; }
code { background: #f1f1f1; padding: 0 .2em; border-radius: 3px; font-size: .93em; }
summary { cursor: pointer; }
.end { color: #666; font-size: .8rem; margin-top: 3rem; }
@media print {
  body { font-size: 10pt; margin: 0; max-width: none; padding: 0; }
  nav { display: none; }
  h2, caption, summary { break-after: avoid; }
  figure, tr, .keep { break-inside: avoid; }
  .wide { overflow: visible; }
  pre { white-space: pre-wrap; }
}
"""


def to_html(title: str, blocks: list[Block], end: str) -> str:
    """A whole page: styles and figures inside, no scripts, nothing to fetch."""
    headings = [block.text for block in blocks if isinstance(block, Heading)]
    links = "".join(f'<a href="#{anchor(text)}">{html.escape(text)}</a>' for text in headings)
    body = "\n".join(html_block(block) for block in blocks)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n"
        f"<h1>{html.escape(title)}</h1>\n<nav>{links}</nav>\n{body}\n"
        f'<p class="end">{inline_html(end)}</p>\n</body>\n</html>\n'
    )


def html_block(block: Block) -> str:
    """One block as HTML."""
    match block:
        case Heading(text):
            return f'<h2 id="{anchor(text)}">{html.escape(text)}</h2>'
        case Text(text):
            return f"<p>{inline_html(text)}</p>"
        case Items(items):
            return "<ul>" + "".join(f"<li>{inline_html(item)}</li>" for item in items) + "</ul>"
        case Table():
            return html_table(block)
        case Code(text, ""):
            return f"<pre>{html.escape(text)}</pre>"
        case Code(text, summary):
            return f"<details><summary>{inline_html(summary)}</summary><pre>{html.escape(text)}</pre></details>"
        case RenderedFigure():
            data = base64.b64encode(block.svg).decode()
            return (
                f'<figure><img alt="{html.escape(block.title)}" src="data:image/svg+xml;base64,{data}">'
                f"<figcaption><b>{html.escape(block.title)}.</b> {inline_html(block.caption)}</figcaption></figure>"
            )


def html_table(table: Table) -> str:
    """A table as HTML."""

    def cells(tag: str, row: tuple[str, ...]) -> str:
        classes = [' class="l"' if column < table.left else "" for column in range(len(row))]
        return "".join(f"<{tag}{name}>{inline_html(cell)}</{tag}>" for name, cell in zip(classes, row, strict=True))

    opened = ['<tr class="strong">' if index in table.strong else "<tr>" for index in range(len(table.rows))]
    rows = "\n".join(f"{tr}{cells('td', row)}</tr>" for tr, row in zip(opened, table.rows, strict=True))
    return (
        f'<div class="wide"><table><caption>{inline_html(table.caption)}</caption>'
        f"<thead><tr>{cells('th', table.header)}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>"
    )


def inline_html(text: str) -> str:
    """Escaped text, `backquoted` names as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))


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
