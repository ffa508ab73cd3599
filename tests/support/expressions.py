"""Every expression that dashboards, rules and alerts ask a Prometheus, and what each is about."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import promql_parser
import yaml

ROOT = Path(__file__).parents[2]
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
PROMETHEUS = ROOT / "deploy/prometheus"
#: What Prometheus adds to every series that it scrapes, and what our configuration adds.
SCRAPED_LABELS = frozenset(("job", "instance", "service"))


class Expression(NamedTuple):
    """A PromQL expression, and where it stands."""

    where: str
    text: str


class Selector(NamedTuple):
    """A metric, and the labels that an expression looks at."""

    metric: str
    labels: frozenset[str]


def dashboards() -> dict[str, dict[str, Any]]:
    return {path.name: json.loads(path.read_text()) for path in DASHBOARDS}


def expressions() -> list[Expression]:
    """Return all of them, with the variables of dashboards filled in."""
    return [*_of_dashboards(), *_of_rules()]


def recorded() -> frozenset[str]:
    """Return the names that recording rules make."""
    return frozenset(rule["record"] for rule in _rules() if "record" in rule)


def selectors(text: str) -> Iterator[Selector]:
    """Give each metric that an expression selects; `ValueError` where it is no PromQL."""
    found: list[promql_parser.VectorSelector] = []

    def look(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)

    promql_parser.walk(promql_parser.parse(text), look)
    for node in found:
        assert node.name, f"{text}: a selector without a name"
        yield Selector(node.name, frozenset(matcher.name for matcher in node.matchers.matchers))


def grouped_by(text: str) -> frozenset[str]:
    """Return the labels that an expression aggregates by."""
    groups = re.findall(r"\bby\s*\(([^)]*)\)", text)
    return frozenset(label.strip() for group in groups for label in group.split(","))


def _of_dashboards() -> Iterator[Expression]:
    for name, dashboard in dashboards().items():
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                yield Expression(f"{name}: {panel['title']}", _filled(target["expr"]))
        for annotation in dashboard["annotations"]["list"]:
            yield Expression(f"{name}: {annotation['name']}", _filled(annotation["expr"]))


def _of_rules() -> Iterator[Expression]:
    for rule in _rules():
        yield Expression(str(rule.get("record") or rule["alert"]), rule["expr"])


def _rules() -> Iterator[dict[str, Any]]:
    for file in ("rules.yml", "alerts.yml"):
        for group in yaml.safe_load((PROMETHEUS / file).read_text())["groups"]:
            yield from group["rules"]


def _filled(text: str) -> str:
    text = re.sub(r"\$__(rate_interval|range|interval)", "5m", text)
    return re.sub(r"\$\w+", "x", text)
