"""The README and the other pages, as tests read them: code blocks, code spans and links."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
#: In reading order: a later page may build on what an earlier one has saved.
PAGES = (README, *sorted(DOCS.glob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md")

#: Comments right above a block: the block is not run, or runs until somebody stops it.
NOT_RUN = "not run: "
ENDLESS = "runs until stopped"

_BLOCK = re.compile(
    r"^(?:<!-- *(?P<comment>[^\n]*?) *-->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class CodeBlock:
    """A fenced block, with the HTML comment right above it."""

    page: Path
    line: int
    language: str
    text: str
    comment: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def is_run(self) -> bool:
        return not self.comment.startswith(NOT_RUN)

    @property
    def is_endless(self) -> bool:
        return self.comment == ENDLESS

    def commands(self) -> list[list[str]]:
        """Return the words of each line of a shell block, without comments."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]


def blocks(page: Path, *languages: str) -> list[CodeBlock]:
    """Return the fenced blocks of a page in these languages, in their order."""
    text = page.read_text()
    return [
        CodeBlock(
            page,
            text.count("\n", 0, match.start("text")),
            match["language"],
            match["text"],
            match["comment"] or "",
        )
        for match in _BLOCK.finditer(text)
        if match["language"] in languages
    ]


def code_spans(page: Path) -> Iterator[str]:
    """Yield each piece of inline code of a page."""
    yield from _SPAN.findall(_BLOCK.sub("", page.read_text()))


def links(page: Path) -> Iterator[str]:
    """Yield the target of each link and picture of a page."""
    yield from LINK.findall(_BLOCK.sub("", page.read_text()))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub derives them."""
    headings = _HEADING.findall(_BLOCK.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
