"""What a subscriber in a region has applied."""

from .identifiers import FeatureKind, Name, RegionName
from .models import WireModel

#: Changes listed in one report; a first load lists none.
CHANGES_MAX = 100


class AppliedChange(WireModel):
    """One rule document that was applied, or taken away."""

    kind: FeatureKind
    name: Name
    revision: int
    #: From the event to its application, by the clocks of the two hosts.
    after_ms: float
    #: False: the region holds no rules of this feature any more.
    present: bool = True


class AppliedReport(WireModel):
    """Everything up to `sequence` of the RULES stream is applied by this instance.

    Written anew for every change, and again while nothing changes: a report that grows old
    vanishes, and with it the instance.
    """

    region: RegionName
    instance: Name
    sequence: int
    time_ms: int
    changes: tuple[AppliedChange, ...] = ()
