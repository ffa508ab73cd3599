"""Every expression that dashboards, rules and alerts ask a Prometheus, and what each is about."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import promql_parser
import yaml

ROOT = Path(__file__).parents[2]
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
PROMETHEUS = ROOT / "deploy/prometheus"
#: What Prometheus adds to every series that it scrapes, and what our configuration adds.
SCRAPED_LABELS = frozenset(("job", "instance", "process"))
#: Set operators keep the labels of their sides; `and` and `unless` those of the left one.
EITHER, LEFT = "or", ("and", "unless")

#: Series → its labels, without those of a scrape.
Exported = Mapping[str, frozenset[str]]


class Expression(NamedTuple):
    """A PromQL expression, where it stands, and the labels that texts beside it show."""

    where: str
    text: str
    shown: frozenset[str] = frozenset()


class Selector(NamedTuple):
    """A metric, and the labels that an expression looks at."""

    metric: str
    labels: frozenset[str]


def dashboards() -> dict[str, dict[str, Any]]:
    return {path.name: json.loads(path.read_text()) for path in DASHBOARDS}


def expressions() -> list[Expression]:
    """Return all of them, with the variables of dashboards filled in."""
    return [*_of_dashboards(), *_of_rules()]


@cache
def recorded() -> dict[str, str]:
    """Return the names that recording rules make, and the expression of each."""
    return {rule["record"]: rule["expr"] for rule in _rules() if "record" in rule}


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


def labels_of(text: str, exported: Exported) -> frozenset[str]:
    """Return the labels that the answer to an expression may have.

    `AssertionError` where it asks for a metric that nobody exports, or for a label that is not there.
    """
    return _labels(promql_parser.parse(text), exported)


def _labels(node: Any, exported: Exported) -> frozenset[str]:
    match node:
        case promql_parser.VectorSelector():
            return _selected(node, exported)
        case promql_parser.MatrixSelector():
            return _selected(node.vector_selector, exported)
        case promql_parser.ParenExpr() | promql_parser.SubqueryExpr() | promql_parser.UnaryExpr():
            return _labels(node.expr, exported)
        case promql_parser.AggregateExpr():
            return _aggregated(node, exported)
        case promql_parser.BinaryExpr():
            return _combined(node, exported)
        case promql_parser.Call():
            return _called(node, exported)
        case _:
            return frozenset()


def _selected(node: promql_parser.VectorSelector, exported: Exported) -> frozenset[str]:
    name = str(node.name)
    if name in (rules := recorded()):
        there = labels_of(rules[name], exported)
    else:
        assert name in exported, f"nobody exports {name}"
        there = exported[name] | SCRAPED_LABELS
    _expect(frozenset(matcher.name for matcher in node.matchers.matchers), there, name)
    return there


def _aggregated(node: promql_parser.AggregateExpr, exported: Exported) -> frozenset[str]:
    there = _labels(node.expr, exported)
    if node.modifier is None:
        return frozenset()
    named = frozenset(node.modifier.labels)
    _expect(named, there, str(node))
    return named if node.modifier.type == promql_parser.AggModifierType.By else there - named


def _combined(node: promql_parser.BinaryExpr, exported: Exported) -> frozenset[str]:
    left, right = _labels(node.lhs, exported), _labels(node.rhs, exported)
    matching = node.modifier.matching if node.modifier else None
    if matching:
        _expect(frozenset(matching.labels), left & right, str(node))
    if str(node.op) == EITHER:
        return left | right
    if str(node.op) in LEFT or isinstance(node.rhs, promql_parser.NumberLiteral):
        return left
    if isinstance(node.lhs, promql_parser.NumberLiteral):
        return right
    return left & right


def _called(node: promql_parser.Call, exported: Exported) -> frozenset[str]:
    there = frozenset[str]().union(*(_labels(argument, exported) for argument in node.args))
    if node.func.name == "histogram_quantile":
        _expect(frozenset({"le"}), there, str(node))
        return there - {"le"}
    if node.func.name == "absent":  # it can only name what was asked for
        return frozenset(matcher.name for matcher in node.args[0].matchers.matchers)
    return there


def _expect(named: frozenset[str], there: frozenset[str], what: str) -> None:
    assert named <= there, f"{what} has no {', '.join(sorted(named - there))}"


def _of_dashboards() -> Iterator[Expression]:
    for name, dashboard in dashboards().items():
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                shown = _shown(target["legendFormat"])
                yield Expression(f"{name}: {panel['title']}", _filled(target["expr"]), shown)
        for annotation in dashboard["annotations"]["list"]:
            shown = _shown(annotation["titleFormat"])
            yield Expression(f"{name}: {annotation['name']}", _filled(annotation["expr"]), shown)
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                yield Expression(f"{name}: ${variable['name']}", *_listed(variable["query"]["query"]))


def _of_rules() -> Iterator[Expression]:
    for rule in _rules():
        texts = " ".join(rule.get("annotations", {}).values())
        shown = frozenset(re.findall(r"\$labels\.(\w+)", texts))
        yield Expression(str(rule.get("record") or rule["alert"]), rule["expr"], shown)


def _rules() -> Iterator[dict[str, Any]]:
    for file in ("rules.yml", "alerts.yml"):
        for group in yaml.safe_load((PROMETHEUS / file).read_text())["groups"]:
            yield from group["rules"]


def _listed(text: str) -> tuple[str, frozenset[str]]:
    """Return the metric and the label whose values a variable lists."""
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", text)
    assert found, f"{text}: only label_values(metric, label) is understood"
    return found[1], frozenset({found[2]})


def _shown(text: str) -> frozenset[str]:
    """Return the labels that a legend shows."""
    return frozenset(re.findall(r"{{\s*(\w+)\s*}}", text))


def _filled(text: str) -> str:
    text = re.sub(r"\$__(rate_interval|range|interval)", "5m", text)
    return re.sub(r"\$\w+", "x", text)
