"""The rules on disk: whole, in the form of every version, and never in the way of an application."""

import logging
import sqlite3
from pathlib import Path

import pytest

from sluiceway.client import rule_cache
from sluiceway.client.region_rules import RegionRules
from sluiceway.client.rule_cache import Place, RuleCache
from sluiceway.contracts import subjects
from sluiceway.contracts.applied_reports import AppliedChange
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.evaluation.results import Reason
from sluiceway.messaging.stream_records import Position, Record

KEY = FeatureKey(FeatureKind.GATE, "checkout")
SUBJECT = "$KV.RULES.dev.gate.checkout"
#: As 0.1 wrote it.
DOCUMENT = (
    b'{"kind":"gate","name":"checkout","revision":7,"eventTimeMs":1764000000000,"trigger":null,'
    b'"reverted":null,"specs":{"feature_gates":{"checkout":{"type":"feature_gate","entity":"feature_gate",'
    b'"salt":"s","enabled":true,"defaultValue":false,"rules":[{"name":"everyone","id":"everyone",'
    b'"passPercentage":100.0,"returnValue":true,"conditions":["public"],"idType":"userID","salt":"r",'
    b'"groupName":null,"configDelegate":null}],"idType":"userID","version":null}},"dynamic_configs":{},'
    b'"condition_map":{"public":{"type":"public","operator":null,"field":null,"targetValue":null,'
    b'"additionalValues":null,"idType":"userID"}},"override_rules":{},"overrides":{},"member_lists":{}}}'
)
OLD_TABLES = """
CREATE TABLE position (one INTEGER PRIMARY KEY CHECK (one = 1), created TEXT, sequence INTEGER);
CREATE TABLE rules (subject TEXT PRIMARY KEY, document BLOB);
"""
CREATED = "2026-11-01 00:00:00+00:00"
PLACE = Place(Position(CREATED, 12, 1_764_000_000_500), 3)


def a_record(sequence: int = 13, data: bytes = DOCUMENT) -> Record:
    return Record(SUBJECT, sequence, 1_764_000_001_000, data, {})


def passes(rules: RegionRules) -> bool:
    return rules.check_gate({"userID": "ada"}, "checkout")


def test_what_was_stored_is_there_after_a_restart(tmp_path: Path) -> None:
    cache = RuleCache(tmp_path / "dev.rules")
    cache.store({SUBJECT: b"one", "gone": b"two"}, PLACE, dict)
    cache.store({"gone": None}, PLACE, dict)
    cache.close()

    again = RuleCache(tmp_path / "dev.rules")

    assert again.documents() == {SUBJECT: b"one"}
    assert again.place() == PLACE
    again.close()


def test_a_new_file_holds_no_set(tmp_path: Path) -> None:
    rules = RegionRules("dev", tmp_path)

    assert not rules.is_whole
    rules.close()


def test_a_file_of_the_version_before_is_read(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "dev.rules") as old:
        old.executescript(OLD_TABLES)
        old.execute("INSERT INTO position VALUES (1, ?, 12)", (CREATED,))
        old.execute("INSERT INTO rules VALUES (?, ?)", (SUBJECT, DOCUMENT))
    old.close()

    rules = RegionRules("dev", str(tmp_path))

    assert rules.is_whole
    assert passes(rules)
    assert rules.position == Position(CREATED, 12, 0)
    assert rules.apply(a_record(), CREATED, is_live=True)
    rules.close()
    again = RegionRules("dev", tmp_path)
    assert again.position == Position(CREATED, 13, 1_764_000_001_000)
    again.close()


def test_a_folder_that_cannot_be_made_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("no folder")

    rules = RegionRules("dev", tmp_path / "file")

    assert rules.apply(a_record(), CREATED, is_live=True)
    assert passes(rules)
    assert "going on without" in caplog.text
    rules.close()


def test_a_full_disk_stops_nobody_and_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rule_cache, "RETRY_SECONDS", 0.0)
    rules = RegionRules("dev", tmp_path)
    announced: list[AppliedChange] = []
    rules.on_applied = announced.append
    write = rule_cache._write

    def refuse(*_: object) -> None:
        assert announced, "what is applied is announced before it is written"
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(rule_cache, "_write", refuse)
    with caplog.at_level(logging.ERROR):
        for sequence in (13, 14):
            assert rules.apply(a_record(sequence), CREATED, is_live=True)
    assert passes(rules)
    assert [record.message for record in caplog.records] == [
        f"cannot store the rules in {tmp_path}/dev.rules, going on without: database or disk is full"
    ]

    monkeypatch.setattr(rule_cache, "_write", write)
    other = subjects.rule("dev", FeatureKey(FeatureKind.GATE, "other"))
    data = DOCUMENT.replace(b"checkout", b"other")
    assert rules.apply(Record(other, 15, 1_764_000_002_000, data, {}), CREATED, is_live=True)
    rules.close()

    again = RegionRules("dev", tmp_path)
    assert {key.name for key in again.raw_documents()} == {"checkout", "other"}
    assert again.position.sequence == 15
    again.close()


def test_a_file_in_a_folder_that_is_read_only_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = RegionRules("dev", tmp_path)
    rules.apply(a_record(), CREATED, is_live=True)
    rules.close()

    def refuse(path: Path) -> sqlite3.Connection:
        raise sqlite3.OperationalError("attempt to write a readonly database")

    monkeypatch.setattr(rule_cache, "_open", refuse)
    again = RegionRules("dev", tmp_path)

    assert passes(again)
    assert again.gate({"userID": "ada"}, "checkout").reason is Reason.RULE
    assert again.apply(a_record(14), CREATED, is_live=True)
    again.close()


def test_a_file_that_is_no_database_is_renamed(tmp_path: Path) -> None:
    (tmp_path / "dev.rules").write_bytes(b"no database" * 100)

    rules = RegionRules("dev", tmp_path)

    assert not rules.is_whole
    assert (tmp_path / "dev.rules.unreadable").exists()
    rules.close()


def test_a_damaged_file_is_renamed_and_nothing_of_it_is_served(tmp_path: Path) -> None:
    rules = RegionRules("dev", tmp_path)
    rules.replace([DOCUMENT], PLACE.position, 1)
    rules.close()
    with sqlite3.connect(tmp_path / "dev.rules") as database:
        database.execute("UPDATE rules SET document = ?", (DOCUMENT[:20],))
    database.close()

    again = RegionRules("dev", tmp_path)

    assert not again.is_whole
    assert (tmp_path / "dev.rules.unreadable").exists()
    again.close()


def test_a_damaged_page_is_noticed_when_it_is_read(tmp_path: Path) -> None:
    cache = RuleCache(tmp_path / "dev.rules")
    cache.store({f"{SUBJECT}{number}": DOCUMENT for number in range(100)}, PLACE, dict)
    cache.close()
    with (tmp_path / "dev.rules").open("r+b") as file:
        file.seek(4_096)
        file.write(b"\xff" * 4_096)

    again = RuleCache(tmp_path / "dev.rules")

    assert again.load() is None
    again.close()


def test_a_file_that_is_removed_is_written_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rules = RegionRules("dev", tmp_path)
    rules.replace([DOCUMENT], PLACE.position, 1)
    for file in tmp_path.iterdir():
        file.unlink()

    rules.apply(a_record(), CREATED, is_live=True)

    assert "was removed; it is written again" in caplog.text
    rules.close()
    again = RegionRules("dev", tmp_path)
    assert passes(again)
    again.close()


def test_a_copy_that_could_not_be_written_is_written_without_another_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rule_cache, "RETRY_SECONDS", 0.0)
    rules = RegionRules("dev", tmp_path)
    write = rule_cache._write

    def refuse(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(rule_cache, "_write", refuse)
    rules.replace([DOCUMENT], PLACE.position, 1)
    monkeypatch.setattr(rule_cache, "_write", write)

    rules.retry_store()
    rules.close()

    again = RegionRules("dev", tmp_path)
    assert passes(again)
    again.close()
