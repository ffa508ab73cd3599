"""Which release an alert is about."""

import pytest

from sluiceway.contracts.alerts import Alert
from sluiceway.contracts.commands import AbortTrigger
from sluiceway.pipelines.alert_matches import match_alert
from tests.support.builders import a_phase, a_region, a_release

NOW = 0
REGIONS = {
    region.name: region
    for region in (
        a_region("dev"),
        a_region("prod-us-west", "production", region="us-west"),
    )
}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"gate": "checkout"}, True),
        ({"pipeline": "release"}, True),
        ({"gate": "checkout", "region": "dev"}, True),
        ({"gate": "checkout", "severity": "page"}, True),
        ({"gate": "checkout", "region": "prod-us-west"}, False),
        ({"gate": "checkout", "region": "us-west"}, False),
        ({"gate": "checkout", "region": "nowhere"}, False),
        ({"gate": "checkout", "pipeline": "other"}, False),
        ({"gate": "other", "pipeline": "release"}, False),
        ({"dynamic_config": "checkout"}, False),
        ({"region": "dev"}, False),
        ({}, False),
    ],
)
def test_all_labels_must_agree(labels: dict[str, str], expected: bool) -> None:
    feature = a_release(a_phase("dev"), a_phase("prod", environments=["production"])).feature

    assert bool(match_alert(Alert(name="x", labels=labels), feature, REGIONS, NOW)) is expected


def test_a_region_is_known_by_its_name_and_by_its_attribute() -> None:
    feature = a_release(a_phase("prod", environments=["production"])).feature

    for label in ("prod-us-west", "us-west"):
        assert match_alert(
            Alert(name="x", labels={"gate": "checkout", "region": label}), feature, REGIONS, NOW
        )


def test_nothing_released_and_nothing_active_match_no_alert() -> None:
    waiting = a_release(a_phase("dev", review=True))
    aborted = a_release()
    aborted.act(AbortTrigger)

    for ledger in (waiting, aborted):
        assert not match_alert(Alert(name="x", labels={"gate": "checkout"}), ledger.feature, REGIONS, NOW)
