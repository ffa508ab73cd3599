"""The README and the pages under docs/: what they name exists, and what they show is valid."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from pydantic import TypeAdapter

from services.console.settings import Settings as ConsoleSettings
from services.edge.settings import Settings as EdgeSettings
from services.monitor.settings import Settings as MonitorSettings
from services.scheduler.settings import Settings as SchedulerSettings
from sluiceway.cli.document_files import MODELS, read_documents
from sluiceway.cli.main import app
from sluiceway.contracts.conditions import Condition
from sluiceway.contracts.guardrails import Guardrail
from sluiceway.contracts.pipeline import Approvals
from tests.support.documents import (
    DOCS,
    LINK,
    PAGES,
    README,
    ROOT,
    CodeBlock,
    anchors,
    blocks,
    code_spans,
    links,
)

README_WORDS_MAX = 1_000
#: A part of a document, by its only key.
PARTS: Mapping[str, TypeAdapter[Any]] = {
    "approvals": TypeAdapter(Approvals),
    "conditions": TypeAdapter(list[Condition]),
    "guardrails": TypeAdapter(list[Guardrail]),
}
#: `make up` creates them.
MADE_LATER = frozenset({"data", "data/system.json", "data/chaos/*"})
#: Read by the command line itself.
CLI_VARIABLES = frozenset({"SLUICEWAY_ACTOR"})
#: Languages whose blocks are checked or run. A block without a language is a drawing or output.
LANGUAGES = frozenset({"", "sh", "python", "yaml", "json"})

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def test_the_readme_is_short() -> None:
    assert len(README.read_text().split()) <= README_WORDS_MAX


def test_the_readme_answers_each_question_about_the_code_with_at_most_two_files() -> None:
    rows = re.findall(r"^\| \(([a-z])\) [^|]+\?[^|]* \| ([^|]+) \|$", README.read_text(), re.MULTILINE)

    assert "".join(letter for letter, _ in rows) == "abcdefghijklmn"
    assert [answer for _, answer in rows if len(LINK.findall(answer)) not in (1, 2)] == []


def test_every_page_of_the_documentation_is_listed() -> None:
    index = DOCS / "README.md"
    listed = {(index.parent / link).resolve() for link in links(index)}

    assert {page for page in DOCS.glob("*.md") if page != index} <= listed


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_a_page_begins_with_the_question_that_it_answers(page: Path) -> None:
    title, _, first = page.read_text().split("\n", 3)[:3]

    assert re.fullmatch(r"# .+\?", title) or re.fullmatch(r"\*\*[A-Z].*\?\*\*", first)


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        is_there = link.startswith(("http://", "https://")) or (
            target.exists() and target.is_relative_to(ROOT) and (not anchor or anchor in anchors(target))
        )
        if not is_there:
            broken.append(link)

    assert broken == []


@each_page
def test_paths_in_the_text_exist(page: Path) -> None:
    missing = [span for span in code_spans(page) if _is_path(span) and not _exists(span)]

    assert missing == []


@each_page
def test_tests_that_prove_something_exist(page: Path) -> None:
    named = [span.split("::") for span in code_spans(page) if span.startswith("tests/") and "::" in span]
    functions = {file: re.findall(r"def (test_\w+)", (ROOT / file).read_text()) for file, _ in named}

    assert [name for file, name in named if name not in functions[file]] == []


@each_page
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = [words[1] for words in _calls(page) if words[0] == "make"]

    assert [target for target in named if target not in targets] == []


@each_page
def test_commands_and_their_options_exist(page: Path) -> None:
    unknown = {" ".join(words): _unknown(words[1:]) for words in _calls(page) if words[0] == "sluiceway"}

    assert {call: word for call, word in unknown.items() if word} == {}


@each_page
def test_environment_variables_are_read_by_somebody(page: Path) -> None:
    settings = (SchedulerSettings, MonitorSettings, EdgeSettings, ConsoleSettings)
    known = {
        f"SLUICEWAY_{field.upper()}" for model in settings for field in model.model_fields
    } | CLI_VARIABLES
    named = set(re.findall(r"SLUICEWAY_[A-Z_]+", page.read_text()))

    assert [name for name in sorted(named) if not _is_known(name, known)] == []


@each_page
def test_yaml_is_valid(page: Path, tmp_path: Path) -> None:
    for block in blocks(page, "yaml"):
        parsed = list(yaml.safe_load_all(block.text))
        if block.comment:  # says whose configuration it is
            continue
        if all(document.get("kind") in MODELS for document in parsed):
            file = tmp_path / f"{block.line}.yaml"
            file.write_text(block.text)
            assert len(read_documents([str(file)])) == len(parsed)
        else:
            (part,) = parsed
            (key,) = part
            PARTS[key].validate_python(part[key])


@each_page
def test_json_is_valid(page: Path) -> None:
    for block in blocks(page, "json"):
        json.loads(block.text)


@each_page
def test_every_block_is_checked_or_says_why_it_is_not_run(page: Path) -> None:
    languages = set(re.findall(r"^```(\w+)$", page.read_text(), re.MULTILINE))

    assert languages <= LANGUAGES
    assert [str(block) for block in blocks(page, "sh") if block.is_run and not _can_run(block)] == []


def _can_run(block: CodeBlock) -> bool:
    return all(words[0] == "sluiceway" for words in block.commands())


def _calls(page: Path) -> list[list[str]]:
    """Return the words of each call of `make` or `sluiceway`, in blocks and in the text."""
    calls = [words for block in blocks(page, "sh") for words in block.commands()]
    calls += [span.split() for span in code_spans(page) if " " in span]
    return [words for words in calls if words[0] in ("make", "sluiceway") and "…" not in words]


def _unknown(words: list[str]) -> str | None:
    """Return the first word that is neither a command nor an option of it; None if all are known."""
    command: Any = typer.main.get_command(app)
    rest = list(words)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        if name not in command.commands:
            return name
        command = command.commands[name]
    options = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
    return next((word for word in rest if word.startswith("-") and word not in options | {"--help"}), None)


def _is_path(span: str) -> bool:
    """Return whether a piece of code looks like a file or a folder of this repository."""
    return bool(re.fullmatch(r"(\./)?[a-z][\w.<>*-]*(/[\w.<>*-]+)+/?|[\w-]+\.(py|md|yaml|toml|txt)", span))


def _exists(span: str) -> bool:
    """Return whether a path exists, from the root or the library; `<service>` stands for any name.

    A file name without a folder may be anywhere.
    """
    pattern = re.sub(r"<\w+>", "*", span.removeprefix("./").rstrip("/"))
    if pattern in MADE_LATER:
        return True
    return any(
        any((ROOT / top).glob(pattern if "/" in pattern else f"**/{pattern}"))
        for top in ("shared/sluiceway", "services", "tests", "deploy", "docs")
    ) or any(ROOT.glob(pattern))


def _is_known(name: str, known: set[str]) -> bool:
    if name.endswith("_"):  # `SLUICEWAY_…`, `SLUICEWAY_OIDC_…`
        return any(variable.startswith(name) for variable in known)
    return name in known
