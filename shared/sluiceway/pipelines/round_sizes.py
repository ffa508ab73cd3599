"""A round of measurements that fits into a message, however many regions a guardrail is measured in."""

from ..contracts.measurements import Measurement, Round
from ..contracts.short_texts import start_of

#: Bytes of a query and of an explanation in a round that would be too large with the whole ones.
SHORT_TEXT_BYTES = 300


def fitted_round(round_: Round, bytes_max: int) -> Round:
    """Return a round of at most `bytes_max` bytes as JSON, if it can be that small.

    Texts are cut, and then only the measurement that decided is kept. The counts of all regions stay: the
    next round continues them.
    """
    for smaller in (_without_long_texts, _without_other_regions):
        if len(round_.to_json()) <= bytes_max:
            break
        round_ = smaller(round_)
    return round_


def _without_long_texts(round_: Round) -> Round:
    def short(measurement: Measurement) -> Measurement:
        return measurement.model_copy(
            update={
                "query": start_of(measurement.query, SHORT_TEXT_BYTES),
                "why": start_of(measurement.why, SHORT_TEXT_BYTES),
            }
        )

    measurements = tuple(map(short, round_.measurements))
    return round_.model_copy(
        update={"measurements": measurements, "why": start_of(round_.why, SHORT_TEXT_BYTES)}
    )


def _without_other_regions(round_: Round) -> Round:
    kept = tuple(each for each in round_.measurements if each.region == round_.region)
    return round_.model_copy(update={"measurements": kept})
