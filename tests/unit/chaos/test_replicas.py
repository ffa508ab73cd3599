"""A stream is complete once its leader sees all replicas."""

import pytest

from tests.chaos.replicas import BrokerReport, incomplete_streams


def report(broker: str, leader: str, *are_current: bool) -> BrokerReport:
    """Return what a broker says of the stream FEATURES and its other replicas."""
    replicas = [{"name": f"other-{number}", "current": current} for number, current in enumerate(are_current)]
    stream = {"name": "FEATURES", "cluster": {"leader": leader, "replicas": replicas}}
    found = BrokerReport.model_validate({"account_details": [{"stream_detail": [stream]}]})
    return found.model_copy(update={"server_name": broker})


@pytest.mark.parametrize(
    ("reports", "incomplete"),
    [
        ([report("a", "a", True, True), report("b", "a", True, False)], []),
        ([report("a", "a", True, False), report("b", "a", True, True)], ["FEATURES"]),
        ([report("a", "", True, True), report("b", "", True, True)], ["FEATURES"]),
        ([report("b", "a", True, True)], ["FEATURES"]),
        ([], []),
    ],
    ids=["complete", "a replica is behind", "no leader", "its leader does not answer", "no streams yet"],
)
def test_a_stream_is_complete_once_its_leader_sees_all_replicas(
    reports: list[BrokerReport], incomplete: list[str]
) -> None:
    assert incomplete_streams(reports, replicas=3) == incomplete
