"""What a subscriber in a region has applied."""

from . import subjects
from .identifiers import FeatureKind, Name, RegionName
from .models import WireModel

#: Changes listed in one report; a first load lists none. More are listed in the reports after it.
CHANGES_MAX = 50


class AppliedChange(WireModel):
    """One rule document that was applied or removed."""

    kind: FeatureKind
    name: Name
    revision: int
    #: Time from the event to its application, by the clocks of the two hosts.
    after_ms: float
    #: False: the region no longer holds rules of this feature.
    present: bool = True


class AppliedReport(WireModel):
    """An instance has applied everything up to `sequence` of the RULES stream.

    It is written soon after a change, with what follows within a moment, and repeated while nothing changes:
    a report that is not repeated expires, and the instance counts as gone.
    """

    region: RegionName
    instance: Name
    sequence: int
    #: When the broker stored that message: after RULES went back, another message has the same sequence.
    #: None in reports of older versions.
    stored_ms: int | None = None
    time_ms: int
    changes: tuple[AppliedChange, ...] = ()


def parse_report(subject: str, data: bytes) -> AppliedReport:
    """Return a report; `ValueError` if it is invalid, or of another region or instance than its subject.

    The broker's permissions bound the subject only: what a report says of its sender proves nothing.
    """
    report = AppliedReport.model_validate_json(data, extra="ignore")
    if subject != subjects.applied(report.region, report.instance):
        raise ValueError(f"it says that it is of {report.region}/{report.instance}")
    return report
