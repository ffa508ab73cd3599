"""Random rule sets over everything that is evaluated.

A spec refers only to earlier ones, and only while one check stays cheap: cycles crash the real SDK, and
ladders of gates stall it.
"""

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from tests.conformance import random_values
from tests.conformance.generated_rule_set import GeneratedRuleSet, single_rule_gate
from tests.conformance.random_conditions import GROUPS, ID_TYPES, Conditions

#: Rules that one check may have to evaluate, including those of nested specs.
COST_MAX = 150

#: Longer than the 64 nested levels the real SDK follows.
CHAIN_LENGTH = 70

PERCENTAGES = [100, 100, 100, 100, 100, 100.0, 0, 0.01, 33.3, 50, 99.99, 101, 150.5, -1, -0.5, 12.345, 1e300]
START_TIMES = [None, None, 0, 1, -1, 1_600_000_000_000, 4_102_444_800_000, 2**63 - 1, -(2**63)]


def rule_set(rng: Random, *, dialect: bool = True) -> GeneratedRuleSet:
    """Draw a rule set; without `dialect`, only with patterns that Python's `re` reads the same way."""
    return _Builder(rng, dialect).build()


class _Builder:
    def __init__(self, rng: Random, dialect: bool) -> None:
        self._rng = rng
        self._hints = Conditions(rng, dialect=dialect)
        self._gates: dict[str, Any] = {}
        self._configs: dict[str, Any] = {}
        self._conditions: dict[str, Any] = {}
        self._override_rules: dict[str, Any] = {}
        self._overrides: dict[str, Any] = {}
        self._names: list[str] = []
        #: Spec, condition (with the prefix `?`) or override rule (`!`) → rules that it may evaluate.
        self._costs: Counter[str] = Counter()

    def build(self) -> GeneratedRuleSet:
        for _ in range(self._rng.randint(25, 40)):
            self._add_condition(self._hints.plain())
        if self._rng.random() < 0.03:
            self._add_chain()
        for number in range(self._rng.randint(10, 18)):
            self._add_override_rule()
            self._add_spec(number)
            for _ in range(2):
                self._add_nested_condition()
        asked = [*self._names, "no such spec"]
        gates, configs = list(self._gates), list(self._configs)
        probes = self._add_probes()
        return GeneratedRuleSet(
            payload=self._payload(),
            environment=self._rng.choice((None, "production", "Staging", "", *self._hints.tiers["tier"])),
            id_lists=self._hints.id_lists,
            global_custom_fields=self._global_custom_fields(),
            gates=[
                *probes,
                *gates,
                *(name for name in asked if name not in gates and self._rng.random() < 0.6),
            ],
            configs=[*configs, *(name for name in asked if name not in configs and self._rng.random() < 0.3)],
            probes=probes,
            hints=self._hints,
        )

    def _add_condition(self, condition: dict[str, Any], cost: int = 0) -> str:
        identifier = f"c{len(self._conditions)}"
        self._conditions[identifier] = condition
        self._costs["?" + identifier] = cost
        return identifier

    def _add_nested_condition(self) -> None:
        kind = self._rng.choice(("pass_gate", "pass_gate", "fail_gate", "fail_gate", "experiment_group"))
        fitting = list(self._configs) if kind == "experiment_group" and self._rng.random() < 0.9 else []
        name = self._rng.choice(fitting or self._names)
        self._add_condition(self._hints.nested(kind, name), self._costs[name])

    def _add_override_rule(self) -> None:
        name = f"o{len(self._override_rules)}"
        rule, cost = self._rule(random_values.anything)
        self._override_rules[name] = rule
        self._costs["!" + name] = cost

    def _add_spec(self, number: int) -> None:
        """Add a gate, a segment, a config, a gate and a config of one name, or overrides of no spec."""
        kind = self._rng.choice(
            ("gate", "gate", "gate", "segment", "config", "config", "config", "both", "ghost")
        )
        name = (
            f"segment:{number}" if kind == "segment" else self._rng.choice((f"s{number}", f"Spéc {number}"))
        )
        name = "" if not self._names and self._rng.random() < 0.1 else name
        if kind == "ghost" or self._rng.random() < 0.45:
            self._override(name)
        if kind in ("gate", "segment", "both"):
            self._gates[name] = self._spec(
                name, "segment" if kind == "segment" else "feature_gate", _gate_value
            )
        if kind in ("config", "both"):
            entity = self._rng.choice(("dynamic_config", "experiment"))
            self._configs[name] = self._spec(name, entity, _config_value)
        self._names.append(name)

    def _spec(self, name: str, entity: str, value: Callable[[Random], Any]) -> dict[str, Any]:
        rng = self._rng
        rules = []
        for _ in range(rng.choice((0, 1, 1, 2, 2, 3, 5))):
            rule, cost = self._rule(value)
            if self._costs[name] + cost <= COST_MAX:
                rules.append(rule)
                self._costs[name] += cost
        spec = {
            "type": "dynamic_config" if value is _config_value else "feature_gate",
            "entity": entity,
            "salt": rng.choice(("", "salt", "sält", "s.s")),
            "enabled": rng.random() < 0.85,
            "defaultValue": value(rng),
            "rules": rules,
            "idType": rng.choice(ID_TYPES),
        }
        return spec | rng.choice(
            ({}, {}, {"version": 3, "isActive": None}, {"unknown key": [1], "targetAppIDs": ["x"]})
        )

    def _rule(self, value: Callable[[Random], Any]) -> tuple[dict[str, Any], int]:
        """Draw a rule, and return it with the cost of its evaluation."""
        rng = self._rng
        identifiers = rng.sample(list(self._conditions), rng.choice((0, 1, 1, 1, 1, 2, 2, 3)))
        identifier = f"r{rng.randrange(10**6)}"
        rule = {
            "name": identifier,
            "id": identifier if rng.random() < 0.97 else "",
            "passPercentage": rng.choice(PERCENTAGES),
            "returnValue": value(rng),
            "conditions": identifiers + (["no such condition"] if rng.random() < 0.015 else []),
            "idType": rng.choice(ID_TYPES),
        }
        rng.shuffle(rule["conditions"])
        rule |= rng.choice(({}, {}, {"salt": None}, {"salt": ""}, {"salt": "rule"}, {"salt": "rülé"}))
        rule |= rng.choice(({}, {"groupName": None}, {"isExperimentGroup": True}))
        if rng.random() < 0.6:
            rule["groupName"] = rng.choice(GROUPS)
        cost = 1 + sum(self._costs["?" + each] for each in identifiers)
        if rng.random() < 0.12:
            # Never "", which may be this very spec: a cycle of delegates can crash the process.
            rule["configDelegate"] = rng.choice((None, "no such config", *self._configs, *self._names))
            cost += self._costs[rule["configDelegate"] or ""]
        return rule, cost

    def _override(self, name: str) -> None:
        rng = self._rng
        mappings = []
        for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
            target = rng.choice((*self._names, "no such target"))
            references = [self._reference() for _ in range(rng.choice((0, 1, 1, 2, 3)))]
            cost = self._costs[target] + sum(self._costs["!" + each["rule_name"]] for each in references)
            if self._costs[name] + cost <= COST_MAX:
                mappings.append({"new_config_name": target, "rules": references})
                self._costs[name] += cost
        self._overrides[name] = mappings

    def _reference(self) -> dict[str, Any]:
        name = self._rng.choice((*self._override_rules, "no such rule"))
        reference = {"rule_name": name, "start_time": self._rng.choice(START_TIMES)}
        if reference["start_time"] is None and self._rng.random() < 0.5:
            del reference["start_time"]
        return reference

    def _add_chain(self) -> None:
        """Add gates that each refer to the one before; later specs may refer to the last few."""
        inner = self._spec("deep 0", "feature_gate", _gate_value)
        for level in range(CHAIN_LENGTH):
            self._gates[f"deep {level}"] = inner
            kind = self._rng.choice(("pass_gate", "pass_gate", "fail_gate"))
            condition = {"type": kind, "idType": "userID", "targetValue": f"deep {level}"}
            inner = single_rule_gate(self._add_condition(condition, COST_MAX), f"level {level + 1}")
        for level in range(CHAIN_LENGTH - 9, CHAIN_LENGTH):
            self._costs[f"deep {level}"] = level
            self._names.append(f"deep {level}")

    def _add_probes(self) -> dict[str, tuple[str, str]]:
        probes = {}
        for identifier, condition in self._conditions.items():
            name = f"probe {identifier}"
            self._gates[name] = single_rule_gate(identifier, "hit")
            probes[name] = (condition["type"], str(condition.get("operator")))
        return probes

    def _global_custom_fields(self) -> dict[str, Any] | None:
        rng = self._rng
        if rng.random() < 0.5:
            return None
        drawn = {
            name: rng.choice(hints)
            for name, hints in self._hints.fields.items()
            if hints and rng.random() < 0.3
        }
        return {
            rng.choice((name, name.lower())): value
            for name, value in drawn.items()
            if isinstance(value, str | bool | int | float) and name != "os_name"
        }

    def _payload(self) -> dict[str, Any]:
        rng = self._rng
        payload: dict[str, Any] = {
            "has_updates": True,
            "time": rng.randint(1, 2**41),
            "feature_gates": self._gates,
            "dynamic_configs": self._configs,
            "layer_configs": {},
            "condition_map": self._conditions,
            "experiment_to_layer": {},
            "override_rules": self._override_rules,
            "overrides": self._overrides,
        }
        payload["app_id"] = rng.choice([None, "app", *self._hints.apps, *self._hints.apps])
        payload |= rng.choice(
            ({}, {"default_environment": "staging"}, {"default_environment": None, "unknown": {}})
        )
        if rng.random() < 0.04:
            payload |= rng.choice(({"overrides": None}, {"override_rules": None}))
        return payload


def _gate_value(rng: Random) -> Any:
    return rng.choice((True, True, True, True, False, False, None, {}, "x", 0, [], {"a": 1}, "false"))


def _config_value(rng: Random) -> Any:
    return (
        random_values.mapping(rng, depth=2, keys_max=5) if rng.random() < 0.9 else random_values.anything(rng)
    )
