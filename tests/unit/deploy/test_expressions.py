"""Whatever a dashboard, rule or alert asks for is exported, with the labels that it looks at."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from sluiceway.telemetry import metrics
from tests.support.expressions import (
    PROMETHEUS,
    SCRAPED_LABELS,
    Expression,
    expressions,
    grouped_by,
    recorded,
    selectors,
)

SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
#: What every process exports beside our own metrics, and what Prometheus itself makes.
STANDARD = {
    "up": frozenset[str](),
    "process_cpu_seconds_total": frozenset[str](),
    "process_resident_memory_bytes": frozenset[str](),
}


def exported() -> dict[str, frozenset[str]]:
    """Return every series that our processes export, and its labels."""
    found = dict(STANDARD)
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            for suffix in SUFFIXES[str(metric._type)]:
                bound = {"le"} if suffix == "_bucket" else set[str]()
                found[metric._name + suffix] = frozenset((*metric._labelnames, *bound))
        elif isinstance(metric, metrics.ReleaseGauge):
            found[metric.name] = frozenset(metric.labels)
    return found


EXPORTED = exported()


def ids(expression: Expression) -> str:
    return expression.where


@pytest.mark.parametrize("expression", expressions(), ids=ids)
def test_an_expression_asks_for_what_is_exported(expression: Expression) -> None:
    found = list(selectors(expression.text))

    assert found
    labels: set[str] = set()
    for selector in found:
        if selector.metric in recorded():
            labels |= set(selector.metric.split(":")[0].split("_"))  # its level names its labels
            continue
        assert selector.metric in EXPORTED, f"nobody exports {selector.metric}"
        allowed = EXPORTED[selector.metric] | SCRAPED_LABELS
        assert selector.labels <= allowed, f"{selector.metric} has no {set(selector.labels - allowed)}"
        labels |= allowed
    assert grouped_by(expression.text) <= labels


def test_every_metric_of_ours_is_shown_somewhere() -> None:
    asked = {selector.metric for expression in expressions() for selector in selectors(expression.text)}
    unseen = {
        "sluiceway_sdk_events_total",
        "sluiceway_phase_late_seconds",
        "sluiceway_published_revision",
    }

    ours = {
        name for name in EXPORTED if name.startswith("sluiceway_") and not name.endswith(("_sum", "_count"))
    }

    assert {name for name in ours if name.removesuffix("_bucket") not in unseen} <= asked


@pytest.fixture
def promtool() -> str:
    return tool("promtool", "prometheus")


def tool(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install {package}")
    return found


def run(*argv: str, stdin: str = "") -> None:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, cwd=PROMETHEUS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_takes_the_configuration_and_its_rules(promtool: str) -> None:
    run(promtool, "check", "config", "prometheus.yml")


def test_each_alert_fires_where_it_should(promtool: str) -> None:
    run(promtool, "test", "rules", "alerts_test.yml")


def test_each_alert_has_a_test_and_says_what_to_do() -> None:
    tests = (PROMETHEUS / "alerts_test.yml").read_text()

    for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            assert f"alertname: {rule['alert']}" in tests
            assert rule["labels"]["severity"] in ("warning", "critical")
            assert set(rule["annotations"]) == {"summary", "description"}


def test_promtool_takes_every_expression_of_the_dashboards(promtool: str, tmp_path: Path) -> None:
    rules = [{"record": f"x{n}", "expr": one.text} for n, one in enumerate(expressions())]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))

    run(promtool, "check", "rules", "--lint=none", str(file))


def test_promtool_finds_no_fault_with_what_is_exported(promtool: str) -> None:
    ours = "\n".join(_ours(generate_latest(REGISTRY).decode()))

    run(promtool, "check", "metrics", stdin=f"{ours}\n")


def test_amtool_takes_the_example_of_an_alertmanager() -> None:
    run(tool("amtool", "prometheus-alertmanager"), "check-config", "alertmanager.yml")


def _ours(text: str) -> Iterator[str]:
    """Give the lines of our own metrics."""
    return (line for line in text.splitlines() if "sluiceway_" in line)
