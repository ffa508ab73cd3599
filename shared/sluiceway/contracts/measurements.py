"""What the monitor measured for a guardrail, its verdict, and the clearance of a phase."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from .guardrails import OnFailure, OnInconclusive
from .identifiers import Name, TriggerId
from .models import WireEnum, WireModel

#: The region of a measurement whose query names none.
EVERYWHERE = "*"
#: Phases that one request asks about.
CLEARANCES_MAX = 100


class Judgement(WireEnum):
    """The result of one measurement."""

    SUCCESS = "success"
    FAILURE = "failure"
    #: there is a value, but too few samples, or neither condition is met
    INCONCLUSIVE = "inconclusive"
    #: no answer, no data, or not a number
    ERROR = "error"


class Verdict(WireEnum):
    """The state of a guardrail after all measurements so far."""

    #: no measurement yet
    PENDING = "pending"
    PASSING = "passing"
    #: the last measurement failed, within the limit
    FAILING = "failing"
    #: the last measurement was inconclusive
    INCONCLUSIVE = "inconclusive"
    #: the last measurement was an error
    BLIND = "blind"
    #: more errors in a row than are allowed
    LOST = "lost"
    #: more failures than are allowed; this is final
    FAILED = "failed"


class Measurement(WireModel):
    """One query in one region, once. In JSON a missing number is null, an infinite one is a string."""

    model_config = ConfigDict(ser_json_inf_nan="strings")

    region: str
    #: The query as it was sent.
    query: str
    judgement: Judgement
    value: float | None = None
    #: The baseline, if there is one; `value` is then the result of the comparison.
    baseline: float | None = None
    samples: float | None = None
    #: Why the judgement is this one.
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
    """One measurement of a guardrail in each of its regions, and the counts after it."""

    trigger: TriggerId
    phase_id: Name
    guardrail: Name
    #: The start of the phase, or of its last bake: measurements count from then on.
    since_ms: int
    time_ms: int
    measurements: tuple[Measurement, ...]
    tallies: dict[str, Tally]
    verdict: Verdict
    #: The region that caused the verdict, and why.
    region: str
    why: str


class VerdictChanged(WireModel):
    """The verdict of a guardrail has changed, or an alert made it fail."""

    trigger: TriggerId
    phase_id: Name
    guardrail: Name
    time_ms: int
    before: Verdict
    verdict: Verdict
    #: The action that followed, if there was one.
    action: OnFailure | OnInconclusive | None = None
    reason: str
    #: The address of the alert or of the query.
    url: str | None = None
    alert: dict[str, Any] = {}
    measurement: Measurement | None = None


class ClearanceQuestion(WireModel):
    """May this trigger leave this phase?"""

    trigger: TriggerId
    phase_id: Name
    #: The newest sequence of the feature that the sender knows.
    revision: int


class ClearanceRequest(ClearanceQuestion):
    """May this trigger leave this phase, and may the others leave theirs?"""

    #: Those that are due at the same moment; a monitor of an older version answers none of them.
    others: Annotated[tuple[ClearanceQuestion, ...], Field(max_length=CLEARANCES_MAX - 1)] = ()

    @property
    def questions(self) -> tuple[ClearanceQuestion, ...]:
        """All questions, the request's own one first."""
        return (self, *self.others)


class ClearanceAnswer(WireModel):
    """What holds the trigger in its phase; `holds` is empty if nothing does. All fields are required."""

    trigger: TriggerId
    phase_id: Name
    holds: tuple[str, ...]


class Clearance(ClearanceAnswer):
    """What holds the trigger in its phase, and the others in theirs."""

    #: Fewer than were asked about, if the reply would be too large; those are asked about again.
    others: tuple[ClearanceAnswer, ...] = ()

    @property
    def answers(self) -> tuple[ClearanceAnswer, ...]:
        """All answers, the one to the request's own question first."""
        return (self, *self.others)
