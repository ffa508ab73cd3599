"""Guardrails: metrics and alerts that are checked while a phase is out, and the action if one fails."""

from typing import Annotated, Any, Self

from pydantic import Discriminator, Field, Tag, model_validator

from .bounded_lists import FIRST_ERROR, at_most
from .durations import convert_durations
from .identifiers import Label, Name
from .models import AuthoredModel, WireEnum

GUARDRAILS_MAX = 20
QUERY_MAX = 4_000
LABELS_MAX = 20
DAY_MS = 86_400_000

Query = Annotated[str, Field(min_length=1, max_length=QUERY_MAX)]
#: `> 0.02`, `>= 1 and < 5`, `< 10 or > 90`; the grammar is that of `pipelines.thresholds`.
ConditionText = Annotated[str, Field(min_length=1, max_length=200)]


class OnFailure(WireEnum):
    """The action of a failed guardrail, or of a matching alert."""

    ROLLBACK = "rollback"
    PAUSE = "pause"
    NOTIFY = "notify"


class OnInconclusive(WireEnum):
    """The action if a guardrail is neither passing nor failed when the bake is over.

    An error or missing data never passes: it holds the phase even with `pass`.
    """

    HOLD = "hold"
    #: too few samples, or neither condition is met: go on
    PASS = "pass"  # noqa: S105 (not a password)
    ROLLBACK = "rollback"
    PAUSE = "pause"


class Reducer(WireEnum):
    """How several series of one answer become one value, or, with `all` and `any`, one judgement."""

    MAX = "max"
    MIN = "min"
    AVG = "avg"
    ALL = "all"
    ANY = "any"


class Comparison(WireEnum):
    """How a released region's value is compared with the baseline."""

    #: value ÷ baseline
    RATIO = "ratio"
    #: value - baseline
    DIFFERENCE = "difference"


class MinSamples(AuthoredModel):
    """A measurement with fewer samples than this is inconclusive."""

    query: Query
    at_least: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Baseline(AuthoredModel):
    """The same query over the regions that do not have the candidate yet, as their mean."""

    compare: Comparison
    #: Compare only with regions of these environments; absent: with all.
    environments: Annotated[tuple[Name, ...], FIRST_ERROR] | None = None


class MetricGuardrail(AuthoredModel):
    """A Prometheus query, measured while the phase is out.

    Placeholders in `{{ }}` are filled in: region, regions (`a|b`, for `=~`), environment,
    region.<attribute>, feature, pipeline, phase, trigger. A query that names a region is measured in each
    one that the phase covers. YAML may use `interval: 30s` instead of `intervalMs`, `initialDelay` likewise.
    """

    name: Name
    query: Query
    #: A measurement that meets this one has failed, even if it meets both.
    failure_condition: ConditionText | None = None
    #: A measurement that meets this one has succeeded. With both set and
    #: neither met it is inconclusive.
    success_condition: ConditionText | None = None
    interval_ms: Annotated[int, Field(strict=True, ge=100, le=DAY_MS)] = 30_000
    #: From the start of the phase to the first measurement.
    initial_delay_ms: Annotated[int, Field(strict=True, ge=0, le=DAY_MS)] = 0
    #: How many failed measurements of a region are allowed; with one more the guardrail has failed.
    failure_limit: Annotated[int, Field(strict=True, ge=0, le=10_000)] = 0
    #: How many errors in a row are allowed; with one more `onInconclusive` applies.
    consecutive_error_limit: Annotated[int, Field(strict=True, ge=0, le=10_000)] = 4
    min_samples: MinSamples | None = None
    #: Absent: an answer of several series is an error.
    reducer: Reducer | None = None
    baseline: Baseline | None = None
    on_failure: OnFailure = OnFailure.ROLLBACK
    on_inconclusive: OnInconclusive = OnInconclusive.HOLD

    @model_validator(mode="before")
    @classmethod
    def _convert(cls, data: Any) -> Any:
        return convert_durations(data, "interval", "initialDelay")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not (self.failure_condition or self.success_condition):
            raise ValueError("no condition: set failureCondition or successCondition")
        if self.baseline and self.reducer in (Reducer.ALL, Reducer.ANY):
            raise ValueError(
                f"reducer {str(self.reducer)!r} does not work with a baseline: use max, min or avg"
            )
        return self


class AlertMatch(AuthoredModel):
    """Labels that an alert must have, with exactly these values; `alertname` is its name."""

    match_labels: Annotated[dict[Label, str], Field(min_length=1, max_length=LABELS_MAX), at_most(LABELS_MAX)]


class AlertGuardrail(AuthoredModel):
    """Alerts that are about the phase while it is out, though they name no feature."""

    name: Name
    alert: AlertMatch
    on_failure: OnFailure = OnFailure.ROLLBACK


def _kind(data: Any) -> str:
    is_alert = "alert" in data if isinstance(data, dict) else isinstance(data, AlertGuardrail)
    return "alert" if is_alert else "metric"


Guardrail = Annotated[
    Annotated[MetricGuardrail, Tag("metric")] | Annotated[AlertGuardrail, Tag("alert")], Discriminator(_kind)
]
