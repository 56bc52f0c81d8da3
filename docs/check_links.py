"""Checks that every local link of a built site leads to a page, and to an anchor that the page has.

    python docs/check_links.py build/docs

External links are not fetched. Exits with 1 and one line for each broken link.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit


class Page(NamedTuple):
    """What one HTML page links to, and where it can be linked to."""

    links: list[str]
    anchors: set[str]


class PageParser(HTMLParser):
    """Collects the links and anchors of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.page = Page([], set())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.page.links.append(value)
            elif name == "id" and value:
                self.page.anchors.add(value)


def read_page(path: Path) -> Page:
    """The links and anchors of one HTML file."""
    parser = PageParser()
    parser.feed(path.read_text(encoding="utf-8"))
    return parser.page


def broken_links(folder: Path) -> list[str]:
    """One line for each local link of the site in `folder` that leads nowhere."""
    pages = {path.resolve(): read_page(path) for path in sorted(folder.rglob("*.html"))}
    problems = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                problems.append(f"{path.relative_to(folder.resolve())}: {link}: no such file")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                problems.append(f"{path.relative_to(folder.resolve())}: {link}: no such anchor")
    return problems


def main() -> int:
    """Print the broken links of the site in the folder named on the command line."""
    folder = Path(sys.argv[1])
    if not (folder / "index.html").exists():
        print(f"{folder} contains no index.html; build the site first: make docs")
        return 1
    problems = broken_links(folder)
    print("\n".join(problems) if problems else f"all local links in {folder} resolve")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
