"""The chain of audit records shows what was altered, removed, added, moved or reordered."""

import json
from collections.abc import Callable

import pytest

from sluiceway.contracts.audit_chain import BrokenRecord, ChainVerifier
from sluiceway.contracts.audit_records import (
    START_OF_CHAIN,
    TEXT_MAX,
    AuditEvent,
    AuditRecord,
    AuditType,
    canonical_json,
    link,
    record_hash,
)

Records = list[bytes]


def an_event(number: int = 0, **fields: object) -> AuditEvent:
    given = {
        "type": AuditType.DENIED,
        "time_ms": number,
        "actor": "ada",
        "about": "approve gate.x.1",
        **fields,
    }
    return AuditEvent.model_validate(given)


def a_chain(length: int = 5, service: str = "scheduler") -> Records:
    end, records = START_OF_CHAIN, []
    for number in range(length):
        data, end = link(an_event(number), service, end)
        records.append(data)
    return records


def verified(records: Records, verifier: ChainVerifier | None = None) -> BrokenRecord | None:
    verifier = verifier or ChainVerifier()
    for sequence, data in enumerate(records, 1):
        if broken := verifier.check("scheduler", sequence, data):
            return broken
    return verifier.missing()


def changed(data: bytes, *, resealed: bool = False, **fields: object) -> bytes:
    """Return a record with other fields, perhaps with a hash that fits them."""
    record = json.loads(data) | fields
    return canonical_json(record | ({"hash": record_hash(record)} if resealed else {}))


def hash_of(data: bytes) -> str:
    return str(json.loads(data)["hash"])


def test_a_chain_as_it_was_written_is_whole() -> None:
    records = a_chain()

    assert verified(records) is None
    assert verified([]) is None
    assert verified(records, ChainVerifier(expected=frozenset({hash_of(records[2])}))) is None


TAMPERED: dict[str, tuple[Callable[[Records], Records], int]] = {
    "altered": (lambda r: [*r[:2], changed(r[2], actor="eve"), *r[3:]], 3),
    "altered with a new hash": (lambda r: [*r[:2], changed(r[2], actor="eve", resealed=True), *r[3:]], 4),
    "the last one altered": (lambda r: [*r[:4], changed(r[4], actor="eve")], 5),
    "spaced otherwise": (lambda r: [*r[:2], json.dumps(json.loads(r[2])).encode(), *r[3:]], 3),
    "a field twice": (lambda r: [*r[:2], r[2].replace(b'"actor"', b'"actor":"eve","actor"'), *r[3:]], 3),
    "a field more": (lambda r: [*r[:2], changed(r[2], note="x"), *r[3:]], 3),
    "removed": (lambda r: [*r[:2], *r[3:]], 3),
    "the first one removed": (lambda r: r[1:], 1),
    "repeated": (lambda r: [*r[:3], *r[2:]], 4),
    "reordered": (lambda r: [r[0], r[2], r[1], *r[3:]], 2),
    "added": (lambda r: [*r[:2], link(an_event(), "scheduler", START_OF_CHAIN)[0], *r[2:]], 3),
    "moved from another service": (lambda r: [*r[:2], *a_chain(3, "console")[2:], *r[3:]], 3),
    "not a record": (lambda r: [*r[:2], b"\xff", *r[3:]], 3),
    "deep": (lambda r: [*r[:2], b"[" * 100_000, *r[3:]], 3),
    "a list": (lambda r: [*r[:2], b"[]", *r[3:]], 3),
    "started again": (lambda r: [*r, *a_chain(2)], 6),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_what_was_tampered_with_is_named(how: str) -> None:
    tamper, sequence = TAMPERED[how]

    broken = verified(tamper(a_chain()))

    assert broken
    assert broken.sequence == sequence, broken


def test_a_rewritten_or_shortened_chain_lacks_the_hash_that_was_kept_elsewhere() -> None:
    records = a_chain()
    kept = frozenset({hash_of(records[4])})
    rewritten, end = [], START_OF_CHAIN
    for number in range(5):
        data, end = link(an_event(number, actor="eve"), "scheduler", end)
        rewritten.append(data)

    for other in (rewritten, records[:4], []):
        broken = verified(other, ChainVerifier(expected=kept))
        assert broken
        assert f"no record has the hash {hash_of(records[4])}" in broken.why


def test_the_oldest_records_may_have_expired_if_the_stream_says_so() -> None:
    later = a_chain()[2:]

    assert verified(later, ChainVerifier(has_expired_records=True)) is None
    broken = verified(later)
    assert broken
    assert "the first record is 3: those before it were removed" in broken.why


def test_chains_of_services_are_apart() -> None:
    verifier = ChainVerifier()
    pairs = zip(a_chain(3, "scheduler"), a_chain(3, "console"), strict=True)
    for sequence, (one, other) in enumerate(pairs):
        assert verifier.check("scheduler", 2 * sequence, one) is None
        assert verifier.check("console", 2 * sequence + 1, other) is None

    assert {service: end.number for service, end in verifier.ends.items()} == {"scheduler": 3, "console": 3}


def test_a_record_of_a_newer_version_is_read() -> None:
    record = changed(a_chain(1)[0], type="something_new", version=2, more={"a": [1]}, resealed=True)

    assert verified([record]) is None
    assert AuditRecord.model_validate_json(record).type == "something_new"


def test_a_record_of_this_version_is_read_by_later_ones() -> None:
    stored = (
        b'{"about":"approve gate.x.1","actor":"ada",'
        b'"hash":"ff7df49fb8a7bb022c0d05fab97f78314808fcb42ae34f6e7a70392bac358ade","number":1,"previous":"",'
        b'"reason":"","service":"scheduler","timeMs":0,"type":"denied","version":1}'
    )
    record = AuditRecord.model_validate_json(stored)

    assert (record.number, record.actor, record.previous) == (1, "ada", "")
    assert verified([stored]) is None


def test_texts_in_a_record_are_bounded_and_any_text_is_recorded() -> None:
    data, _ = link(an_event(actor="\ud800" + "x" * 10_000, reason="é" * 10_000), "scheduler", START_OF_CHAIN)

    assert len(data) < 20 * TEXT_MAX
    assert verified([data]) is None
