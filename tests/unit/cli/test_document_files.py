"""YAML files → models: the order, and the message of each error."""

import io
from pathlib import Path

import pytest

from sluiceway.cli.document_files import read_documents, read_file_documents
from sluiceway.cli.session import CommandFailed

EXAMPLES = Path(__file__).parents[3] / "deploy" / "examples"
MIXED = """\
kind: FeatureGate
name: new_checkout
---
kind: ReleasePipeline
name: release
phases: [{name: dev, timeInterval: 30m, rules: [{name: all}]}]
---
---
kind: Region
name: dev
environment: development
---
kind: Environment
name: development
"""


def test_documents_are_in_the_order_in_which_they_refer_to_each_other(tmp_path: Path) -> None:
    found = read_documents([_file(tmp_path, MIXED)])

    assert [document.kind for document in found] == [
        "Environment",
        "Region",
        "ReleasePipeline",
        "FeatureGate",
    ]


def test_a_folder_stands_for_its_yaml_files_but_not_for_its_subfolders(tmp_path: Path) -> None:
    _file(tmp_path, "{kind: Environment, name: one}", "one.yaml")
    _file(tmp_path, "{kind: Environment, name: two}", "two.yml")
    _file(tmp_path, "no document", "README.md")
    _file(tmp_path, "{}", "package.json")
    (tmp_path / "below").mkdir()
    _file(tmp_path / "below", "{kind: Environment, name: three}")

    assert [document.to_jsonable()["name"] for document in read_documents([str(tmp_path)])] == ["one", "two"]


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", _stdin("{kind: Environment, name: development}"))

    assert [document.kind for document in read_documents(["-"])] == ["Environment"]


def test_standard_input_is_utf_8_whatever_the_terminal_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", _stdin("{kind: DynamicConfig, name: a, description: größer 😀}"))

    assert [d.to_jsonable()["description"] for d in read_documents(["-"])] == ["größer 😀"]


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path) -> None:
    assert read_documents([_file(tmp_path, "\ufeffkind: Environment\nname: development")])


def test_every_error_names_its_file_its_document_and_its_field(tmp_path: Path) -> None:
    one = _file(tmp_path, "{kind: Environment, name: a}\n---\n{kind: Environment, nmae: b}", "one.yaml")
    two = _file(tmp_path, "{kind: ReleasePipeline, name: p, phases: [{name: x, rules: []}]}", "two.yaml")
    three = _file(tmp_path, "a: [", "three.yaml")

    with pytest.raises(CommandFailed) as failed:
        read_documents([one, two, three])

    *fields, syntax = failed.value.details["faults"]
    assert fields == [
        f"{one}, document 2 (Environment): name: Field required; nmae: Extra inputs are not permitted",
        f"{two}, document 1 (ReleasePipeline): phases.0.rules: "
        "Tuple should have at least 1 item after validation, not 0",
    ]
    assert syntax.startswith(f"{three} is not valid YAML: ")
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{name: a}", "unknown kind None .known: Environment, Region"),
        ("{kind: Gate, name: a}", "unknown kind 'Gate'"),
        ("{kind: [], name: a}", r"unknown kind \[\]"),
        ("- a list", "expected a mapping with `kind`"),
        ("", "has no document"),
        ("# only a comment", "has no document"),
        (
            "{kind: ReleasePipeline, name: p, phases: [{name: x, timeInterval: soon, rules: [{name: a}]}]}",
            "soon",
        ),
    ],
)
def test_an_invalid_document_is_refused(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(CommandFailed, match=error):
        read_documents([_file(tmp_path, text)])


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9")

    for path in (tmp_path / "missing.yaml", tmp_path / "latin.yaml"):
        with pytest.raises(CommandFailed, match=f"cannot read .*{path.name}"):
            read_documents([str(path)])


def test_the_examples_are_valid() -> None:
    found = read_documents([str(EXAMPLES / "catalogue"), str(EXAMPLES / "changes")])

    names = [document.kind for document in found]
    assert {kind: names.count(kind) for kind in names} == {
        "Environment": 3,
        "Region": 5,
        "ReleasePipeline": 1,
        "FeatureGate": 3,
        "DynamicConfig": 2,
    }


def test_all_errors_of_all_documents_of_a_file_are_named_at_once(tmp_path: Path) -> None:
    text = (
        "kind: FeatureGate\nname: a\nname: b\nversion: 1.10\n"
        "---\nkind: FeatureGate\nnmae: c\n"
        "---\nkind: [FeatureGate\nname: d\n"
        "---\nkind: Segment\nname: 010\n"
    )
    file, missing = _file(tmp_path, text), str(tmp_path / "missing.yaml")

    with pytest.raises(CommandFailed) as failed:
        read_documents([file, missing])

    first, model, syntax, last, unreadable = failed.value.details["faults"]
    assert first == (
        f"{file} is not valid YAML: line 3: duplicate key 'name' (first at line 2); "
        "line 4: 1.10 would be read as 1.1; quote it if it is text: '1.10'"
    )
    assert model.startswith(f"{file}, document 2 (FeatureGate): name: Field required; nmae: ")
    assert syntax.startswith(f"{file} is not valid YAML: line 10: ")
    assert last == (
        f"{file} is not valid YAML: line 13: 010 would be read as 10; quote it if it is text: '010'"
    )
    assert unreadable == f"cannot read {missing}: No such file or directory"


def _stdin(text: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(text.encode()), encoding="ascii")


def _file(folder: Path, text: str, name: str = "file.yaml") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_a_document_may_name_the_revision_that_its_author_has_read(tmp_path: Path) -> None:
    file = _file(
        tmp_path,
        "{kind: FeatureGate, name: a, revision: 17-3f9a21bc}\n"
        "---\n{kind: FeatureGate, name: b, revision: 0}\n---\n{kind: FeatureGate, name: c}",
    )

    found = read_file_documents([file])

    assert [(one.document.to_jsonable()["name"], one.revision) for one in found] == [
        ("a", "17-3f9a21bc"),
        ("b", "0"),
        ("c", None),
    ]


@pytest.mark.parametrize("revision", ["17", "latest", "[]", "true"])
def test_an_invalid_revision_is_refused(tmp_path: Path, revision: str) -> None:
    file = _file(tmp_path, f"{{kind: FeatureGate, name: a, revision: {revision}}}")

    with pytest.raises(CommandFailed, match=r"document 1 \(FeatureGate\): invalid revision"):
        read_file_documents([file])
