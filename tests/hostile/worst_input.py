"""The worst that each role may send: a row per role and kind of input. What is new and heavy gets a row."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from nats.aio.msg import Msg

from sluiceway.contracts import subjects
from sluiceway.contracts.commands import COMMAND_MAX_BYTES
from sluiceway.contracts.replies import RefusalCode
from sluiceway.tasks import cancel_and_wait
from tests.support.secured import Secured, raw

from .everything import TRIGGER
from .roles import BROKER_ROLES, BrokerRole

#: A subject and a body.
Message = tuple[str, bytes]


class WorstInput(NamedTuple):
    """What a role sends: messages without an end, `inputs` of them in the short form."""

    role: str
    name: str
    inputs: int
    messages: Callable[[BrokerRole], Iterator[Message]]
    #: Whether a scheduler answers them; the broker itself acknowledges what is stored.
    is_command: bool = True

    def __str__(self) -> str:
        return f"{self.role}: {self.name}"


def small_aborts(role: BrokerRole) -> Iterator[Message]:
    """The cheapest command, in the lane of those that take something back."""
    for number in itertools.count():
        yield command(role, "abort", number, trigger=TRIGGER)


def small_saves(role: BrokerRole) -> Iterator[Message]:
    for number in itertools.count():
        yield command(role, "save_feature", number, feature={"kind": "FeatureGate", "name": f"sly-{number}"})


def no_commands(role: BrokerRole) -> Iterator[Message]:
    """Messages that are no commands; each becomes a dead letter."""
    for number in itertools.count():
        yield subjects.command("abort", role.user), b"[" * (COMMAND_MAX_BYTES - 10) + b"%d" % number


def unknown_verbs(role: BrokerRole) -> Iterator[Message]:
    for number in itertools.count():
        yield subjects.command(f"verb-{number}", role.user), b"x" * 10_000


def too_large(role: BrokerRole) -> Iterator[Message]:
    """As much as the broker takes of a person: a bit more than a command may have."""
    body = b" " * (COMMAND_MAX_BYTES + 1_000)
    for _ in itertools.count():
        yield subjects.command("save_feature", role.user), body


def many_rules(role: BrokerRole) -> Iterator[Message]:
    """A document as large as one may be: parsed by whoever reads it."""
    condition = {"type": "user_id", "operator": "any", "targetValue": [f"user-{n}" for n in range(200)]}
    rules = [{"name": f"r{n}", "conditions": [condition]} for n in range(70)]
    for number in itertools.count():
        feature = {"kind": "FeatureGate", "name": f"sly-{number % 20}", "rules": rules}
        feature["description"] = f"version {number}"
        yield command(role, "save_feature", number, feature=feature)


def reads(role: BrokerRole) -> Iterator[Message]:
    """Questions for large documents, more of them than a scheduler keeps parsed."""
    for number in itertools.count():
        yield command(role, "read_feature", number, kind="gate", name=f"sly-{number % 20}")


def alerts(role: BrokerRole) -> Iterator[Message]:
    for number in itertools.count():
        labels = {"gate": "no-such-gate", "n": str(number)}
        yield (
            "sluiceway.alerts.pager",
            json.dumps({"name": "Errors", "labels": labels, "fingerprint": f"f{number}"}).encode(),
        )


def reports(role: BrokerRole) -> Iterator[Message]:
    """Reports of instances that do not exist, and messages that are not reports."""
    for number in itertools.count():
        yield f"$KV.APPLIED.dev.sly-{number}", b"{}" if number % 2 else b"x" * 10_000


WORST_INPUT = (
    WorstInput("viewer", "small aborts", 5_000, small_aborts),
    WorstInput("viewer", "large documents", 200, many_rules),
    WorstInput("viewer", "no commands", 200, no_commands),
    WorstInput("viewer", "unknown verbs", 1_000, unknown_verbs),
    WorstInput("viewer", "messages that are too large", 100, too_large),
    WorstInput("editor", "small saves", 1_000, small_saves),
    WorstInput("approver", "small aborts", 1_000, small_aborts),
    WorstInput("operator", "small aborts", 1_000, small_aborts),
    WorstInput("alert sender", "alerts", 500, alerts, is_command=False),
    WorstInput("edge of another region", "reports", 500, reports, is_command=False),
    # The last, since every service reads what it has stored;
    WorstInput("editor", "large documents", 20, many_rules),
    # and that is asked for.
    WorstInput("viewer", "reads of large documents", 1_000, reads),
)


def command(role: BrokerRole, verb: str, number: int, **fields: Any) -> Message:
    """Return a command of a role, each with an id of its own."""
    body = {"id": f"{role.user}-{number}", "actor": "eve", **fields}
    return subjects.command(verb, role.user), json.dumps(body).encode()


class Attack:
    """An attack under way, and what was answered to it."""

    def __init__(self, count: int) -> None:
        #: Messages that it will send.
        self.count = count
        self.sent = 0
        #: Answers by the code of their refusal; `""` if the command was accepted.
        self.codes: dict[str, int] = {}
        self.started = asyncio.Event()

    async def receive(self, reply: Msg) -> None:
        code = _code(reply.data)
        self.codes[code] = self.codes.get(code, 0) + 1

    @property
    def handled(self) -> int:
        """How many of its messages were worked on, and not just turned away."""
        return sum(self.codes.values()) - sum(self.codes.get(code, 0) for code in TURNED_AWAY)


@asynccontextmanager
async def attacking(attacked: Secured, worst: WorstInput, count: int) -> AsyncIterator[Attack]:
    """Send so many messages at full speed while the block runs, and until all are sent."""
    role, attack = BROKER_ROLES[worst.role], Attack(count)
    async with raw(attacked, role.user, role.password) as (connection, _):
        client = connection.client
        inbox = client.new_inbox()
        await client.subscribe(f"{inbox}.*", cb=attack.receive)

        async def send() -> None:
            waiting = 0
            for subject, body in itertools.islice(worst.messages(role), count):
                await client.publish(subject, body, reply=f"{inbox}.{attack.sent}")
                attack.sent += 1
                waiting += len(body)
                if attack.sent % SENT_BEFORE_PAUSE == 0 or waiting > SENT_BYTES_BEFORE_PAUSE:
                    waiting = 0
                    await client.flush()  # the same loop runs whom it attacks
                    attack.started.set()
            await client.flush()
            attack.started.set()

        sending = asyncio.create_task(send())
        await attack.started.wait()
        try:
            yield attack
            await sending
        finally:
            await cancel_and_wait(sending)


#: What the broker answers if nobody listens.
NO_RESPONDERS = "no responders"
#: Refusals of what was not looked at.
TURNED_AWAY = (RefusalCode.RATE_LIMITED, NO_RESPONDERS)
#: Messages that the attacker sends in one go.
SENT_BEFORE_PAUSE = 200
SENT_BYTES_BEFORE_PAUSE = 500_000


def _code(data: bytes) -> str:
    """Return the code of the refusal in a reply; empty if it is none."""
    if not data:
        return NO_RESPONDERS
    return str((json.loads(data).get("refusal") or {}).get("code", ""))


#: Rows by their name, for tests.
BY_NAME: Mapping[str, WorstInput] = {str(row): row for row in WORST_INPUT}
