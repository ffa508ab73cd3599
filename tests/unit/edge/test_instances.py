"""Replicas without a name of their own have that of their host, and share no copy on disk."""

import socket
from pathlib import Path

import pytest

from services.edge.app import Edge
from services.edge.settings import Settings, instance_of
from sluiceway.client.rule_cache import Place, RuleCache
from sluiceway.messaging.stream_records import Position

PLACE = Place(Position("2026-01-01", 7, 1), 3)
DOCUMENTS = {"$KV.RULES.dev.gate.a": b"document"}


@pytest.mark.parametrize(
    ("host", "instance"),
    [("edge-7", "edge-7"), ("a.example.com", "a-example-com"), ("ä" * 200, "-" * 100), ("", "edge")],
)
def test_the_name_of_any_host_is_that_of_an_instance(host: str, instance: str) -> None:
    assert instance_of(host) == instance
    assert Settings(region="dev", instance=instance).instance == instance


def test_without_a_setting_the_host_names_the_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "a.example")

    assert Settings(region="dev").instance == "a-example"


def test_what_an_earlier_version_has_stored_is_taken_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "a.example")
    earlier = RuleCache(tmp_path / "edge" / "dev.keys")
    earlier.store(DOCUMENTS, PLACE, dict)  # stays open, as by another replica

    Edge(Settings(region="dev", snapshot_dir=tmp_path)).keys.close()

    own = RuleCache(tmp_path / "a-example" / "dev.keys")
    assert own.load() == (PLACE, DOCUMENTS)
    own.store({"$KV.CATALOG.key.other": b"x"}, PLACE, dict)
    own.close()
    Edge(Settings(region="dev", snapshot_dir=tmp_path)).keys.close()
    assert RuleCache(tmp_path / "a-example" / "dev.keys").documents() == {
        **DOCUMENTS,
        "$KV.CATALOG.key.other": b"x",
    }
    earlier.close()


def test_an_instance_with_a_name_takes_nothing_of_others(tmp_path: Path) -> None:
    earlier = RuleCache(tmp_path / "edge" / "dev.keys")
    earlier.store(DOCUMENTS, PLACE, dict)
    earlier.close()

    Edge(Settings(region="dev", instance="other", snapshot_dir=tmp_path)).keys.close()

    assert RuleCache(tmp_path / "other" / "dev.keys").load() is None
