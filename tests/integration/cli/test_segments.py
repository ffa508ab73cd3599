"""Segments and gates that refer to one another, from YAML to an answer."""

from tests.support.cli.calls import Cli

from .documents import CATALOGUE

SEGMENT = """\
kind: Segment
name: beta
ids: [ada]
rules:
  - name: staff
    conditions: [{type: email, operator: str_ends_with_any, targetValue: ["@example.com"]}]
---
kind: FeatureGate
name: fancy
rules: [{name: beta, conditions: [{type: passes_segment, targetValue: beta}]}]
---
kind: FeatureGate
name: fancier
rules: [{name: fancy, conditions: [{type: passes_gate, targetValue: fancy}]}]
"""
CIRCLE = """\
kind: FeatureGate
name: fancy
rules: [{name: circle, conditions: [{type: passes_gate, targetValue: fancier}]}]
"""


async def test_a_gate_that_refers_to_another_gate_and_a_segment_is_evaluated(cli: Cli) -> None:
    await cli.succeeds("apply", "-f", "-", stdin=f"{CATALOGUE}---\n{SEGMENT}")

    answers = [
        (await cli.succeeds("check", "fancier", "--region", "dev", "--user", user)).out.split()[0]
        for user in ('{"userID": "ada"}', '{"email": "bob@EXAMPLE.com"}', '{"userID": "eve"}')
    ]
    listed = await cli.succeeds("get", "segments", "beta", "--json")

    assert answers == ["true", "true", "false"]
    assert listed.json["ids"] == ["ada"]


async def test_a_cycle_and_a_missing_reference_are_refused_even_in_a_dry_run(cli: Cli) -> None:
    await cli.succeeds("apply", "-f", "-", stdin=f"{CATALOGUE}---\n{SEGMENT}")

    rehearsed = await cli.refused("apply", "-f", "-", "--dry-run", stdin=CIRCLE)
    applied = await cli.refused("apply", "-f", "-", stdin=CIRCLE)
    typo = await cli.refused("apply", "-f", "-", stdin=CIRCLE.replace("fancier", "fanciest"))

    assert "fancy → fancier → fancy" in rehearsed.error
    assert "fancy → fancier → fancy" in applied.error
    assert "refers to fanciest, which does not exist" in typo.error


async def test_a_feature_that_is_referred_to_cannot_be_archived(cli: Cli) -> None:
    await cli.succeeds("apply", "-f", "-", stdin=f"{CATALOGUE}---\n{SEGMENT}")

    segment = await cli.refused("segment", "archive", "beta")
    gate = await cli.refused("gate", "archive", "fancy")
    await cli.succeeds("gate", "archive", "fancier")
    await cli.succeeds("gate", "archive", "fancy")
    await cli.succeeds("segment", "archive", "beta")

    assert segment.line == "segment.beta is used by fancy; change that first"
    assert gate.line == "gate.fancy is used by fancier; change that first"
