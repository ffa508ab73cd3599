"""The roles: how each connects, and what it may do. Whatever is not in its row is refused."""

from collections.abc import Mapping
from dataclasses import dataclass

from sluiceway.contracts.identity import Role

#: What whoever may write a feature may send.
EDITS = frozenset({"save_feature", "archive_feature"})
#: What whoever operates releases may send.
OPERATIONS = frozenset({"pause", "unpause", "skip", "extend", "abort", "roll_out", "roll_back"})


@dataclass(frozen=True)
class BrokerRole:
    """Somebody with credentials of the broker. `*` and `>` are those of NATS subjects."""

    user: str
    password: str
    may_publish: tuple[str, ...]
    may_subscribe: tuple[str, ...]
    #: What its key is granted; None: it has no key, and sends no commands.
    granted: Role | None = None
    #: The verbs of the commands that are not refused for want of a role.
    verbs: frozenset[str] = frozenset()


def _person(role: Role, *verbs: str) -> BrokerRole:
    return BrokerRole(
        user=f"key-{role}",
        password="person",
        may_publish=(f"sluiceway.commands.*.key-{role}", "$JS.API.DIRECT.GET.FEATURES.>"),
        may_subscribe=(f"_INBOX.key-{role}.>",),
        granted=role,
        verbs=frozenset(verbs),
    )


BROKER_ROLES: Mapping[str, BrokerRole] = {
    "viewer": _person(Role.VIEWER),
    "editor": _person(Role.EDITOR, *EDITS),
    "approver": _person(Role.APPROVER, "approve"),
    "operator": _person(Role.OPERATOR, *OPERATIONS),
    "alert sender": BrokerRole(
        user="pager",
        password="pager",
        may_publish=("sluiceway.alerts.pager",),
        may_subscribe=("_INBOX.>",),
    ),
    "edge of another region": BrokerRole(
        user="edge-dev",
        password="edge",
        may_publish=(
            "$JS.API.STREAM.INFO.KV_RULES",
            "$JS.API.STREAM.INFO.KV_CATALOG",
            "$JS.API.CONSUMER.CREATE.KV_RULES.>",
            "$JS.API.CONSUMER.DELETE.KV_RULES.*",
            "$JS.API.CONSUMER.CREATE.KV_CATALOG.>",
            "$JS.API.CONSUMER.DELETE.KV_CATALOG.*",
            "$JS.FC.KV_RULES.>",
            "$JS.FC.KV_CATALOG.>",
            "$KV.APPLIED.dev.*",
            "sluiceway.dead_letters.edge",
        ),
        may_subscribe=("_INBOX.>",),
    ),
}
#: The people among them, who send commands.
PEOPLE = {name: role for name, role in BROKER_ROLES.items() if role.granted}


def covers(pattern: str, subject: str) -> bool:
    """Return whether a pattern with NATS' wildcards covers a subject, or all subjects of another pattern."""
    tokens, others = pattern.split("."), subject.split(".")
    for number, token in enumerate(tokens):
        if token == ">":
            return len(others) > number
        if number >= len(others) or (token != "*" and token != others[number]) or others[number] == ">":
            return False
    return len(tokens) == len(others)
