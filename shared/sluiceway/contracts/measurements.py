"""What the monitor saw of a guardrail, and what it made of it."""

from enum import StrEnum
from typing import Any

from pydantic import ConfigDict

from .guardrails import OnFailure, OnInconclusive
from .identifiers import Name, TriggerId
from .models import WireModel

#: Stands for the region where a query names none.
EVERYWHERE = "*"


class Judgement(StrEnum):
    """What one measurement says."""

    SUCCESS = "success"
    FAILURE = "failure"
    #: the query answered, but with too few samples, or neither condition is met
    INCONCLUSIVE = "inconclusive"
    #: no answer, no data, or not a number: nothing was seen
    ERROR = "error"


class Verdict(StrEnum):
    """What a guardrail says after all measurements so far."""

    #: nothing conclusive yet
    PENDING = "pending"
    PASSING = "passing"
    #: the last measurement failed, within the limit
    FAILING = "failing"
    #: the last measurement was inconclusive
    INCONCLUSIVE = "inconclusive"
    #: the last measurement was an error
    BLIND = "blind"
    #: more errors in a row than are borne
    LOST = "lost"
    #: it has tripped; this is final
    FAILED = "failed"


class Measurement(WireModel):
    """One query in one region, once. A number that is not there is absent, an infinite one text in JSON."""

    model_config = ConfigDict(ser_json_inf_nan="strings")

    region: str
    #: The query as it was sent.
    query: str
    judgement: Judgement
    value: float | None = None
    #: What the value was compared with; `value` is the comparison's result then.
    baseline: float | None = None
    samples: float | None = None
    #: Why it was judged so.
    why: str


class Tally(WireModel):
    """The measurements of a region since its phase started, counted."""

    successes: int = 0
    failures: int = 0
    inconclusives: int = 0
    errors: int = 0
    consecutive_errors: int = 0
    #: The last one; absent before the first.
    last: Judgement | None = None


class Round(WireModel):
    """One look at a guardrail in all its regions, and the counts after it."""

    trigger: TriggerId
    phase_id: Name
    guardrail: Name
    #: The start of the phase that is counted from.
    since_ms: int
    time_ms: int
    measurements: tuple[Measurement, ...]
    tallies: dict[str, Tally]
    verdict: Verdict
    #: The region that the verdict is due to, and why.
    region: str
    why: str


class VerdictChanged(WireModel):
    """A guardrail says something else than before, or an alert tripped it."""

    trigger: TriggerId
    phase_id: Name
    guardrail: Name
    time_ms: int
    before: Verdict
    verdict: Verdict
    #: What followed from it, if anything.
    action: OnFailure | OnInconclusive | None = None
    reason: str
    #: Where one can look at the alert or the query.
    url: str | None = None
    alert: dict[str, Any] = {}
    measurement: Measurement | None = None


class ClearanceRequest(WireModel):
    """May this trigger leave this phase? `revision` is the asker's newest sequence of the feature."""

    trigger: TriggerId
    phase_id: Name
    revision: int


class Clearance(WireModel):
    """Why the trigger may not leave its phase; empty where it may. All fields are needed: silence is none."""

    trigger: TriggerId
    phase_id: Name
    holds: tuple[str, ...]
