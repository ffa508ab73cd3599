"""Reduces a disagreement to the few rules and user fields that it takes."""

import copy
from collections.abc import Iterator
from typing import Any

from tests.conformance.comparison import Disagreement, disagreement

#: Parts of a question whose members may be removed: objects by key, arrays by index.
PARTS = ("feature_gates", "dynamic_configs", "overrides", "override_rules")
CONTAINERS = ("rules", "conditions", "custom", "privateAttributes", "customIDs", "statsigEnvironment")

Path = tuple[str | int, ...]


def shrink(found: Disagreement, *, tries_max: int = 1500) -> Disagreement:
    """Remove part after part while the two still disagree. Removing alone makes no payload harmful."""
    tries = 0
    progress = True
    while progress and tries < tries_max:
        progress = False
        for path in list(_removable(found)):
            smaller = _without(found, path)
            if smaller is not None and tries < tries_max:
                tries += 1
                shrunk = disagreement(smaller.question)
                if shrunk is not None:
                    found, progress = shrunk, True
    return _pruned(found)


def _removable(found: Disagreement) -> Iterator[Path]:
    """Yield the paths of all parts, the largest first, and later indices before earlier ones."""
    payload, question = found.question.payload, found.question
    for part in PARTS:
        for name, value in (payload.get(part) or {}).items():
            if part not in ("feature_gates", "dynamic_configs") or name != question.name:
                yield ("payload", part, name)
            if part == "overrides":
                yield from (("payload", part, name, index) for index in reversed(range(len(value))))
                continue
            for index in reversed(range(len(value.get("rules", [])))):
                yield ("payload", part, name, "rules", index)
                conditions = value["rules"][index]["conditions"]
                yield from (
                    ("payload", part, name, "rules", index, "conditions", each)
                    for each in reversed(range(len(conditions)))
                )
    for name in list(question.user):
        yield ("user", name)
        if name in CONTAINERS:
            yield from (("user", name, key) for key in question.user[name])
    yield from (("options", name) for name in question.options)


def _without(found: Disagreement, path: Path) -> Disagreement | None:
    """Return a copy without the part at `path`; None if it was removed with an earlier one."""
    question = found.question
    copied: dict[str, Any] = {"payload": question.payload, "user": question.user, "options": question.options}
    copied[str(path[0])] = copy.deepcopy(copied[str(path[0])])
    parent: Any = copied
    try:
        for step in path[:-1]:
            parent = parent[step]
        del parent[path[-1]]
    except (KeyError, IndexError):
        return None
    return found._replace(question=question._replace(**copied))


def _pruned(found: Disagreement) -> Disagreement:
    """Remove the conditions that no rule names, if the two then still disagree."""
    payload = copy.deepcopy(found.question.payload)
    rules = [rule for part in PARTS[:2] for spec in payload[part].values() for rule in spec["rules"]]
    rules += (payload["override_rules"] or {}).values()
    named = {name for rule in rules for name in rule["conditions"]}
    payload["condition_map"] = {key: value for key, value in payload["condition_map"].items() if key in named}
    return disagreement(found.question._replace(payload=payload)) or found
