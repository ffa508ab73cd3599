"""Override features in a test, in one line.

```python
def test_the_new_checkout(client):
    with override(client, gates={"new_checkout": True}, configs={"limits": {"max": 3}}):
        ...
```
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..evaluation.results import Config, Evaluation, Reason
from ..evaluation.users import AnyUser
from ..messaging.stream_records import START
from .client import Client
from .flags import evaluate_flag
from .region_rules import RegionRules

#: The rule id of an overridden value.
RULE_ID = "override"


class FakeClient:
    """A client without a region: gates are off and configs empty, except the named ones."""

    def __init__(
        self, *, gates: Mapping[str, bool] | None = None, configs: Mapping[str, dict[str, Any]] | None = None
    ) -> None:
        self._rules = RegionRules("test")
        self._rules.replace((), START, 0)
        self.check_gate = self._rules.check_gate
        self.get_config = self._rules.get_config
        _replace(self, self._rules, gates or {}, configs or {})

    def evaluate(self, user: AnyUser, name: str) -> Evaluation:
        """Return the value of a gate or config, and the rule that decided it."""
        return evaluate_flag(self._rules, user, name)


@contextmanager
def override(
    client: Client | FakeClient,
    *,
    gates: Mapping[str, bool] | None = None,
    configs: Mapping[str, dict[str, Any]] | None = None,
) -> Iterator[None]:
    """Give gates and configs these values for every user of this client while the block runs."""
    rules = client._rules
    before = {name: getattr(rules, name) for name in ("check_gate", "get_config", "gate", "config")}
    _replace(client, rules, gates or {}, configs or {})
    try:
        yield
    finally:
        for name, method in before.items():
            setattr(rules, name, method)
        client.check_gate, client.get_config = rules.check_gate, rules.get_config


def _replace(
    client: Client | FakeClient,
    rules: RegionRules,
    gates: Mapping[str, bool],
    configs: Mapping[str, dict[str, Any]],
) -> None:
    passing = {name: Evaluation(value, RULE_ID, Reason.OVERRIDE) for name, value in gates.items()}
    valued = {name: Evaluation(dict(value), RULE_ID, Reason.OVERRIDE) for name, value in configs.items()}
    gate, config = rules.gate, rules.config
    check_gate, get_config = rules.check_gate, rules.get_config
    rules.gate = _first(passing, gate)
    rules.config = _first(valued, config)
    rules.check_gate = lambda user, name: (
        bool(passing[name].value) if name in passing else check_gate(user, name)
    )
    rules.get_config = lambda user, name: Config(valued[name]) if name in valued else get_config(user, name)
    client.check_gate, client.get_config = rules.check_gate, rules.get_config


def _first(
    answers: Mapping[str, Evaluation], otherwise: Callable[[AnyUser, str], Evaluation]
) -> Callable[[AnyUser, str], Evaluation]:
    return lambda user, name: answers.get(name) or otherwise(user, name)
