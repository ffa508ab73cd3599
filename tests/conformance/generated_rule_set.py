"""A random rule set, with the questions to ask about it."""

import json
from dataclasses import dataclass, field
from typing import Any

from tests.conformance.random_conditions import Conditions


@dataclass
class GeneratedRuleSet:
    """One payload, the options of its evaluators, and the questions to ask."""

    payload: dict[str, Any]
    environment: str | None
    id_lists: dict[str, list[str]]
    global_custom_fields: dict[str, Any] | None
    gates: list[str]
    configs: list[str]
    #: Gates with a single condition each → its type and operator.
    probes: dict[str, tuple[str, str]]
    hints: Conditions = field(repr=False)

    @property
    def options(self) -> dict[str, Any]:
        """The options of an evaluator, besides the payload."""
        return {
            "environment": self.environment,
            "id_lists": self.id_lists,
            "global_custom_fields": self.global_custom_fields,
        }

    @property
    def specs_json(self) -> bytes:
        return json.dumps(self.payload, ensure_ascii=False).encode()


def single_rule_gate(condition: str, identifier: str) -> dict[str, Any]:
    """Return a gate that is true, by rule `identifier`, exactly if `condition` holds."""
    rule = {
        "name": identifier,
        "id": identifier,
        "passPercentage": 100,
        "returnValue": True,
        "idType": "userID",
    }
    return {
        "type": "feature_gate",
        "entity": "feature_gate",
        "salt": "",
        "enabled": True,
        "defaultValue": False,
        "rules": [{**rule, "conditions": [condition]}],
        "idType": "userID",
    }
