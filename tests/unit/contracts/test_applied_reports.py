"""A report is of the region and instance of its subject: the broker's permissions bound nothing else."""

import pytest

from sluiceway.contracts import subjects
from sluiceway.contracts.applied_reports import AppliedReport, parse_report

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
