"""What a drawn rule set consists of."""

import json
from dataclasses import dataclass, field
from typing import Any

from tests.conformance.conditions import Conditions


@dataclass
class RuleSet:
    """One payload, the options that go with it, and what to ask of it."""

    payload: dict[str, Any]
    environment: str | None
    id_lists: dict[str, list[str]]
    global_custom_fields: dict[str, Any] | None
    gates: list[str]
    configs: list[str]
    #: Gates that show one condition each, with its type and operator.
    probes: dict[str, tuple[str, str]]
    hints: Conditions = field(repr=False)

    @property
    def options(self) -> dict[str, Any]:
        """What an evaluator is started with beside the payload."""
        return {
            "environment": self.environment,
            "id_lists": self.id_lists,
            "global_custom_fields": self.global_custom_fields,
        }

    @property
    def specs_json(self) -> bytes:
        return json.dumps(self.payload, ensure_ascii=False).encode()


def single_rule_gate(condition: str, identifier: str) -> dict[str, Any]:
    """Make a gate that is true, with rule `identifier`, exactly where `condition` is."""
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
