"""A round of many regions fits into a message, and the next round continues its counts."""

from sluiceway.contracts.measurements import Judgement, Measurement, Round
from sluiceway.pipelines.guardrail_schedule import ActiveGuardrail, active_guardrails, round_of
from sluiceway.pipelines.message_limits import MESSAGE_BYTES_MAX
from sluiceway.pipelines.round_sizes import fitted_round
from tests.support.builders import a_phase, a_trigger

GUARDRAIL = {"name": "errors", "query": "up", "failureCondition": "> 1"}


def an_active_guardrail() -> ActiveGuardrail:
    (active,) = active_guardrails(a_trigger(a_phase("dev", guardrails=[GUARDRAIL])))
    return active


def a_round(regions: int, query: str = "up") -> Round:
    """Return a round in which the last region fails."""
    measurements = [
        Measurement(
            region=f"region-{n}",
            query=query,
            judgement=Judgement.FAILURE if n == regions - 1 else Judgement.SUCCESS,
            value=n,
            why=query,
        )
        for n in range(regions)
    ]
    return round_of(an_active_guardrail(), None, measurements, 5)


def test_a_round_that_fits_is_stored_as_it_is() -> None:
    round_ = a_round(100, "x" * 1_000)

    assert fitted_round(round_, MESSAGE_BYTES_MAX) == round_


def test_long_queries_of_many_regions_are_cut() -> None:
    round_ = a_round(500, "x" * 4_000)

    fitted = fitted_round(round_, MESSAGE_BYTES_MAX)

    assert len(round_.to_json()) > MESSAGE_BYTES_MAX > len(fitted.to_json())
    assert [each.value for each in fitted.measurements] == [each.value for each in round_.measurements]


def test_of_thousands_of_regions_the_decisive_one_and_all_counts_are_kept() -> None:
    round_ = a_round(4_000)

    fitted = fitted_round(round_, 900_000)

    assert len(fitted.to_json()) < 900_000 < len(round_.to_json())
    assert [each.region for each in fitted.measurements] == [round_.region] == ["region-3999"]
    assert fitted.tallies == round_.tallies
