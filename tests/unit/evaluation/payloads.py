"""Builders of minimal config-spec payloads."""

import json
from typing import Any

from tests.conformance.load import Loaded, load

EVERYONE: dict[str, Any] = {"type": "public", "idType": "userID"}


def rule(*conditions: str, id_: str = "r", value: Any = True, **fields: Any) -> dict[str, Any]:
    rule = {"name": id_, "id": id_, "passPercentage": 100, "returnValue": value, "idType": "userID"}
    return {**rule, "conditions": list(conditions), **fields}


def spec(*rules: dict[str, Any], default: Any = False, **fields: Any) -> dict[str, Any]:
    return {
        "type": "t", "entity": "e", "salt": "s", "enabled": True, "defaultValue": default,
        "rules": list(rules), "idType": "userID", **fields,
    }  # fmt: skip


def on_gate(name: str, *, passes: bool = True) -> dict[str, Any]:
    return {"type": "pass_gate" if passes else "fail_gate", "targetValue": name, "idType": "userID"}


def payload(gates: dict[str, Any], conditions: dict[str, Any] | None = None, **parts: Any) -> bytes:
    """Return a payload; `everyone` is a condition of each."""
    whole = {
        "has_updates": True, "time": 1, "feature_gates": gates, "dynamic_configs": {}, "layer_configs": {},
        "condition_map": {"everyone": EVERYONE, **(conditions or {})}, "experiment_to_layer": {}, **parts,
    }  # fmt: skip
    return json.dumps(whole).encode()


def loaded(gates: dict[str, Any], conditions: dict[str, Any] | None = None, **parts: Any) -> Loaded:
    return load(payload(gates, conditions, **parts))
