"""Settings of the documentation site (Sphinx, MyST, furo). `make docs` builds it, without network.

Two parts of the site are derived from the code while it is built, never written by hand: the command line reference
(`reference/cli.md`, from the typer app) and the tables of fields (directive `config-fields`, from the config classes).
"""

import re
from importlib.metadata import version as installed_version
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from typer.cli import get_docs_for_click
from typer.main import get_command

from study.reference.fields import table
from study.run import app as study_app
from trainables.config import CHOICES

project = "Distillation studies"
author = "The authors of distillation-study"
version = release = installed_version("distillation-study")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = "Distillation studies"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False


class ConfigFields(SphinxDirective):
    """`config-fields data mfeat`: the table of the fields of one data set, model or method."""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        """Parse the Markdown table that the reference shows for the same class."""
        section, name = self.arguments
        tag, classes = CHOICES[section]
        container = nodes.container()
        self.state.nested_parse(StringList(table(classes[name], without=tag).splitlines()), 0, container)
        return container.children


def write_command_line(app: Sphinx) -> None:
    """Write `reference/cli.md` from the typer app, with whole sentences in its list of commands."""
    command = get_command(study_app)
    context = command.make_context("study", [], resilient_parsing=True)
    text = get_docs_for_click(obj=command, ctx=context, name="study")
    for name, entry in command.commands.items():
        first = " ".join((entry.help or "").split("\n\n")[0].split())
        text = re.sub(rf"^\* `{name}`: .*$", f"* [`{name}`](#study-{name}): {first}", text, flags=re.MULTILINE)
    body = text.partition("\n")[2].rstrip()
    Path(app.srcdir, "reference", "cli.md").write_text(f"# Command line\n{body}\n", encoding="utf-8")


def plain_attributes(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Keep napoleon from reading `Words: more words` as a type, and leave out what NamedTuple says of its fields."""
    if what in ("attribute", "property") and lines:
        lines[0] = "" if lines[0].startswith("Alias for field number") else lines[0].replace(": ", " – ", 1)


def setup(app: Sphinx) -> None:
    """Register what is derived from the code."""
    app.add_directive("config-fields", ConfigFields)
    app.connect("builder-inited", write_command_line)
    app.connect("autodoc-process-docstring", plain_attributes, priority=400)
