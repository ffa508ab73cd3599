"""The house style, as far as a tool can check it: names that stand once, and plain English."""

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = [*(ROOT / "shared").rglob("*.py"), *(ROOT / "services").rglob("*.py")]
PAGES = [*(ROOT / "services").rglob("*.html"), ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]

#: Every service has these.
SHARED_CLASS_NAMES = {"Settings"}
SHARED_FILE_NAMES = {"__init__"}

#: Phrases that a native speaker would reword → the usual words.
PHRASES = {
    r"\bis no (?!longer\b|more\b)[a-z]+": "invalid …, unknown …, … does not exist",
    r"\bstands? twice\b": "duplicate …",
    r"\bat once\b": "immediately; at the same time",
    r"\bin vain\b": "timed out",
    r"\banew\b": "again; from the start",
    r"\bborne\b": "allowed",
    r"\bfaults? of ours\b": "internal error",
    r"\bis so already\b": "unchanged",
    r"\bwho(m)?ever\b": "everybody who; the caller",
    r"\bSay (whether|why|that)\b": "Return whether",
    r"\blook anew\b": "check again",
    r"\bby way of\b": "through",
}


def test_public_class_names_stand_once() -> None:
    found = defaultdict(list)
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(path.relative_to(ROOT).as_posix())

    twice = {name: paths for name, paths in found.items() if len(paths) > 1}
    assert {name: paths for name, paths in twice.items() if name not in SHARED_CLASS_NAMES} == {}


def test_file_names_stand_once_in_a_package_tree() -> None:
    services = [path.parent for path in (ROOT / "services").glob("*/__init__.py")]
    for tree in (ROOT / "shared" / "sluiceway", *services):
        found = defaultdict(list)
        for path in tree.rglob("*.py"):
            found[path.stem].append(path.relative_to(ROOT).as_posix())

        twice = {name: paths for name, paths in found.items() if len(paths) > 1}
        assert {name: paths for name, paths in twice.items() if name not in SHARED_FILE_NAMES} == {}


def test_the_english_is_plain() -> None:
    odd = [
        f"{path.relative_to(ROOT)}:{line}: {match[0]!r}, better: {better}"
        for path, line, text in _texts()
        for phrase, better in PHRASES.items()
        if (match := re.search(phrase, text))
    ]

    assert odd == []


def _texts() -> Iterator[tuple[Path, int, str]]:
    """Yield every comment, string and docstring of the code, and every line of pages and documents."""
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    for path in CODE:
        for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
            if token.type in kinds:
                yield path, token.start[0], token.string
    for path in PAGES:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            yield path, number, line
