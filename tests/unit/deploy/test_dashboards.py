"""Dashboards as Grafana wants them, as far as that can be told without it."""

from itertools import combinations
from typing import Any

import pytest
import yaml

from tests.support.expressions import DASHBOARDS, ROOT, dashboards

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24


@pytest.fixture(params=[path.name for path in DASHBOARDS])
def dashboard(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dashboards()[request.param]


def test_it_can_be_provisioned(dashboard: dict[str, Any]) -> None:
    assert dashboard["title"]
    assert 0 < len(dashboard["uid"]) <= 40
    assert "id" not in dashboard
    assert "__inputs" not in dashboard
    assert dashboard["schemaVersion"] == 39


def test_everything_in_it_can_be_told_apart(dashboard: dict[str, Any]) -> None:
    panels = dashboard["panels"]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        targets = panel.get("targets", [])
        assert len({target["refId"] for target in targets}) == len(targets)


def test_its_panels_say_what_they_show_and_in_which_unit(dashboard: dict[str, Any]) -> None:
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            assert panel["description"].endswith(".")
            assert panel["fieldConfig"]["defaults"]["unit"]


def test_its_panels_lie_in_the_grid_and_on_no_other(dashboard: dict[str, Any]) -> None:
    places = [panel["gridPos"] for panel in dashboard["panels"]]

    for place in places:
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= COLUMNS
    for one, other in combinations(places, 2):
        assert not _overlap(one, other), (one, other)


def test_it_asks_the_chosen_datasource_alone(dashboard: dict[str, Any]) -> None:
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    asking = [
        *(panel for panel in dashboard["panels"] if panel["type"] != "row"),
        *(target for panel in dashboard["panels"] for target in panel.get("targets", [])),
        *(variable for name, variable in variables.items() if name != "datasource"),
        *dashboard["annotations"]["list"],
    ]

    assert variables["datasource"]["type"] == "datasource"
    assert all(one["datasource"] == DATASOURCE for one in asking)


def test_what_is_provisioned_is_where_the_compose_file_mounts_it() -> None:
    provisioning = ROOT / "deploy/grafana/provisioning"
    provider = yaml.safe_load((provisioning / "dashboards/sluiceway.yml").read_text())["providers"][0]
    source = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())["datasources"][0]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]

    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in compose["grafana"]["volumes"]
    assert source["url"] == "http://prometheus:9090"


def test_every_process_of_the_compose_file_is_scraped() -> None:
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    targets = {target for one in scraped[0]["static_configs"] for target in one["targets"]}
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]

    running = [name for name, one in compose.items() if "services." in str(one.get("command"))]

    assert targets == {f"{name}:8080" for name in running}


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )
