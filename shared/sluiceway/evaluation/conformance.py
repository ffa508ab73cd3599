"""A whole config-spec payload, evaluated as an official SDK would: for differential tests.

The payload is the JSON (`dcs-v2`) that Statsig's Server Core SDKs download.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from ..clock import now_ms
from .condition_tests import Host, member_key
from .payload import Payload
from .rule_set import RuleSet


class Loaded:
    """What answers by a payload; the rule id beside each value."""

    def __init__(self, rules: RuleSet) -> None:
        self._rules = rules

    def gate(self, user: Mapping[str, Any], name: str) -> tuple[bool, str]:
        """Return whether a user passes a gate, and the rule that decided."""
        answer = self._rules.gate(user, name)
        return bool(answer.value), answer.rule_id

    def config(self, user: Mapping[str, Any], name: str) -> tuple[JsonValue, str]:
        """Return a user's value of a dynamic config, and the rule that decided."""
        answer = self._rules.config(user, name)
        return answer.value, answer.rule_id


def load(
    specs_json: bytes,
    *,
    environment: str | None = None,
    id_lists: Mapping[str, list[str]] | None = None,
    global_custom_fields: Mapping[str, Any] | None = None,
) -> Loaded:
    """Return what answers by a payload; `InvalidPayload` for one that the SDKs refuse as a whole.

    A malformed spec costs only itself. `id_lists` holds the members as they are.
    """
    payload = Payload(specs_json)
    host = Host(
        clock=now_ms,
        environment=payload.default_environment if environment is None else environment,
        custom_fields=global_custom_fields or {},
        app=payload.app,
    )
    rules = RuleSet(host)
    if payload.has_updates:
        lists = {name: map(member_key, members) for name, members in (id_lists or {}).items()}
        rules.replace(payload, lists)
    return Loaded(rules)
