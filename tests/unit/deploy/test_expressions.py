"""Whatever a dashboard, rule or alert asks for is exported, with the labels that it looks at."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY, generate_latest

from tests.support.expressions import (
    PROMETHEUS,
    ROOT,
    SCRAPED_LABELS,
    Expression,
    expressions,
    labels_of,
    selectors,
)
from tests.support.metrics import exported

EXPORTED = exported()


def ids(expression: Expression) -> str:
    return expression.where


@pytest.mark.parametrize("expression", expressions(), ids=ids)
def test_an_expression_asks_for_what_is_exported(expression: Expression) -> None:
    labels = labels_of(expression.text, EXPORTED)

    assert expression.shown <= labels, f"a text shows {set(expression.shown - labels)}, which is not there"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("sluiceway_gone", "nobody exports sluiceway_gone"),
        ('sluiceway_edge_stale{area="eu"}', "sluiceway_edge_stale has no area"),
        ("sum by (area) (sluiceway_edge_stale)", "has no area"),
        ("rate(sluiceway_commands[5m])", "nobody exports sluiceway_commands"),
        ("histogram_quantile(0.5, sum by (region) (sluiceway_propagation_seconds_bucket))", "has no le"),
        ("sluiceway_edge_stale and on (verdict) sluiceway_guardrail_verdict", "has no verdict"),
        ('region:sluiceway_unapplied_revisions:max{instance="x"}', "has no instance"),
        ("sum(sluiceway_edge_stale) > on (region) sluiceway_edge_stale", "has no region"),
    ],
)
def test_a_renamed_metric_or_label_is_noticed(text: str, fault: str) -> None:
    with pytest.raises(AssertionError, match=fault):
        labels_of(text, EXPORTED)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("sum by (region, le) (rate(sluiceway_propagation_seconds_bucket[5m]))", {"region", "le"}),
        ("sum without (le, job) (sluiceway_fan_out_seconds_bucket)", {"instance", "process"}),
        ("max(sluiceway_held_triggers)", set()),
        (
            "max by (region) (sluiceway_features) or sum by (type) (sluiceway_events_total)",
            {"region", "type"},
        ),
        ("2 * max by (region) (sluiceway_features)", {"region"}),
        ('absent(up{process="monitor"})', {"process"}),
    ],
)
def test_an_answer_has_these_labels(text: str, labels: set[str]) -> None:
    assert labels_of(text, EXPORTED) == labels


def test_no_label_of_a_target_hides_one_of_a_metric() -> None:
    configuration = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    targets = [target for job in configuration["scrape_configs"] for target in job["static_configs"]]

    added = {"job", "instance", *(label for target in targets for label in target["labels"])}

    assert added == SCRAPED_LABELS
    assert {name: labels & added for name, labels in EXPORTED.items() if labels & added} == {}


def test_every_metric_of_ours_is_shown_somewhere() -> None:
    asked = {selector.metric for expression in expressions() for selector in selectors(expression.text)}
    ours = {
        name for name in EXPORTED if name.startswith("sluiceway_") and not name.endswith(("_sum", "_count"))
    }

    assert ours - asked == set()


@pytest.fixture
def promtool() -> str:
    return tool("promtool", "prometheus")


def tool(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install {package}")
    return found


def run(*argv: str, stdin: str = "") -> str:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, cwd=PROMETHEUS)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_takes_the_configuration_and_its_rules(promtool: str) -> None:
    run(promtool, "check", "config", "prometheus.yml")


def test_each_alert_fires_where_it_should(promtool: str) -> None:
    run(promtool, "test", "rules", "alerts_test.yml")


def test_each_alert_has_a_test_and_says_what_to_do() -> None:
    tests = (PROMETHEUS / "alerts_test.yml").read_text()

    for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            assert f"alertname: {rule['alert']}" in tests
            assert rule["alert"].startswith("Sluiceway"), "alertmanager.yml knows ours by that"
            assert rule["labels"]["severity"] in ("warning", "critical")
            assert "for" in rule
            assert set(rule["annotations"]) == {"summary", "description"}


def test_promtool_takes_every_expression_of_the_dashboards(promtool: str, tmp_path: Path) -> None:
    rules = [{"record": f"x{n}", "expr": one.text} for n, one in enumerate(expressions())]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))

    run(promtool, "check", "rules", "--lint=none", str(file))


def test_promtool_finds_no_fault_with_what_is_exported(promtool: str) -> None:
    ours = "\n".join(_ours(generate_latest(REGISTRY).decode()))

    run(promtool, "check", "metrics", stdin=f"{ours}\n")


@pytest.fixture
def amtool() -> str:
    return tool("amtool", "prometheus-alertmanager")


def test_amtool_takes_the_example_of_an_alertmanager(amtool: str) -> None:
    run(amtool, "check-config", "alertmanager.yml")


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ({"gate": "new_checkout"}, "sluiceway,people"),
        ({"gate": "new_checkout", "pipeline": "prod-release"}, "sluiceway,people"),
        ({"dynamic_config": "limits"}, "sluiceway,people"),
        ({"pipeline": "prod-release"}, "sluiceway,people"),
        ({"severity": "critical"}, "nobody,people"),
        ({"alertname": "SluicewayDown", "severity": "critical", "team": "checkout"}, "people"),
        ({"alertname": "SluicewayGuardrailHolds", "pipeline": "prod-release"}, "people"),
    ],
)
def test_alerts_about_releases_go_to_the_monitor_and_our_own_never(
    amtool: str, labels: dict[str, str], receivers: str
) -> None:
    assert routed(amtool, {"alertname": "Other", **labels}) == receivers


def test_alerts_that_an_example_of_a_guardrail_waits_for_go_to_the_monitor(amtool: str) -> None:
    pipeline = yaml.safe_load((ROOT / "deploy/examples/guarded.yaml").read_text())
    waited_for = [
        guardrail["alert"]["matchLabels"]
        for phase in pipeline["phases"]
        for guardrail in phase.get("guardrails", ())
        if "alert" in guardrail
    ]

    assert waited_for
    for labels in waited_for:
        assert routed(amtool, {"alertname": "Other", **labels}) == "sluiceway,people"


def routed(amtool: str, labels: dict[str, str]) -> str:
    """Return the receivers of an alert, in the order of their routes."""
    pairs = (f"{name}={value}" for name, value in labels.items())
    return run(amtool, "config", "routes", "test", "--config.file=alertmanager.yml", *pairs).strip()


def _ours(text: str) -> Iterator[str]:
    """Give the lines of our own metrics."""
    return (line for line in text.splitlines() if "sluiceway_" in line)
