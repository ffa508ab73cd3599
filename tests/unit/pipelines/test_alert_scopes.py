"""What the alerts of a source may take back."""

from typing import Any

import pytest
from pydantic import ValidationError

from sluiceway.contracts.alert_sources import AlertSource
from sluiceway.pipelines.alert_scopes import is_in_scope, unlimited
from tests.support.builders import a_region, a_release

TRIGGER = a_release().trigger
REGIONS = {
    region.name: region
    for region in (a_region("dev"), a_region("prod-eu", region="eu"), a_region("prod-eu-2", region="eu"))
}
EU = {"regions": ["prod-eu"]}


@pytest.mark.parametrize(
    ("scope", "labels", "expected"),
    [
        ({}, {}, True),
        ({"pipelines": ["release"]}, {}, True),
        ({"pipelines": ["other", "release"]}, {}, True),
        ({"pipelines": ["other"]}, {}, False),
        ({"features": ["gate.checkout"]}, {}, True),
        ({"features": ["dynamic_config.checkout", "gate.check"]}, {}, False),
        ({"pipelines": ["release"], "features": ["gate.other"]}, {}, False),
        (EU, {"region": "prod-eu"}, True),
        (EU, {}, False),
        (EU, {"region": "dev"}, False),
        (EU, {"region": "mars"}, False),
        # the label names both regions, by their attribute
        (EU, {"region": "eu"}, False),
        ({"regions": ["prod-eu", "prod-eu-2"]}, {"region": "eu"}, True),
    ],
)
def test_a_release_is_in_scope_if_all_lists_have_it(
    scope: dict[str, Any], labels: dict[str, str], expected: bool
) -> None:
    source = AlertSource.model_validate({"name": "ci", **scope})

    assert is_in_scope(source, labels, TRIGGER, REGIONS) is expected


def test_without_a_document_a_source_may_do_everything_or_nothing() -> None:
    assert is_in_scope(unlimited("ci"), {}, TRIGGER, REGIONS)
    assert not is_in_scope(None, {}, TRIGGER, REGIONS)


@pytest.mark.parametrize(
    "scope", [{"features": ["checkout"]}, {"features": ["gate.a.b"]}, {"pipelines": []}, {"name": "a.b"}]
)
def test_a_scope_that_could_be_misread_is_invalid(scope: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AlertSource.model_validate({"name": "ci", **scope})
