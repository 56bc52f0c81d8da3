"""Every file of the repository that is generated from the config classes. A test checks that they are up to date."""

from pathlib import Path

from study.reference.error_messages import errors_markdown
from study.reference.json_schema import PATH, schema_text
from study.reference.study_file_page import study_file_markdown

REPOSITORY = Path(__file__).parents[2]


def generated_files() -> dict[Path, str]:
    """What each generated file must contain. Works in a checkout only, because an installation has no `docs/`."""
    pages = REPOSITORY / "docs" / "reference"
    return {
        PATH: schema_text(),
        pages / "study_file.md": study_file_markdown(),
        pages / "errors.md": errors_markdown(REPOSITORY / "tests" / "sweeps" / "bad"),
    }
