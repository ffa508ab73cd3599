"""A report is of the region and instance of its subject: the broker's permissions bound nothing else."""

import pytest

from sluiceway.contracts import subjects
from sluiceway.contracts.applied_reports import CHANGES_MAX, AppliedChange, AppliedReport, parse_report
from sluiceway.contracts.identifiers import FeatureKind
from sluiceway.messaging.streams import APPLIED_BYTES_MAX

REPORT = AppliedReport(region="dev", instance="edge", sequence=7, time_ms=0)


def test_a_report_of_its_subject_is_read() -> None:
    assert parse_report(subjects.applied("dev", "edge"), REPORT.to_json()) == REPORT


@pytest.mark.parametrize(
    "subject",
    [
        subjects.applied("prod-eu", "edge"),
        subjects.applied("dev", "other"),
        subjects.applied("dev", "edge.more"),
        "$KV.APPLIED.dev",
    ],
)
def test_a_report_that_names_another_region_or_instance_is_refused(subject: str) -> None:
    with pytest.raises(ValueError, match="it says that it is of dev/edge"):
        parse_report(subject, REPORT.to_json())


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b'{"region": "dev"}'])
def test_an_invalid_report_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse_report(subjects.applied("dev", "edge"), data)


def test_the_largest_report_fits_into_the_stream() -> None:
    change = AppliedChange(
        kind=max(FeatureKind, key=len), name="n" * 100, revision=2**53, after_ms=-1e9 / 7, present=False
    )
    names = {"region": "r" * 100, "instance": "i" * 100}
    largest = AppliedReport(
        **names, sequence=2**53, stored_ms=2**53, time_ms=2**53, changes=(change,) * CHANGES_MAX
    )

    assert len(largest.to_json()) < APPLIED_BYTES_MAX - 1_024, "with its headers"
