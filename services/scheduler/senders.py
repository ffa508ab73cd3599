"""Whom a command counts for, known before it is decoded, and how much each may send."""

from sluiceway.contracts import envelope
from sluiceway.contracts.identity import CONSOLE, MONITOR
from sluiceway.fair_queue import SenderLimits
from sluiceway.messaging.nats_client import RawMessage

#: A person or a machine: generous for `sluiceway apply` and CI, which wait for each answer.
PERSON_LIMITS = SenderLimits(per_second=50.0, burst=200, waiting=50, working=2)
#: The monitor takes releases back, and sends no more than alerts and guardrails lead to.
MONITOR_LIMITS = SenderLimits(per_second=None, burst=0, waiting=10_000, working=64)
#: Everybody who sends without a name, on a broker that lets anybody do anything: nobody can be told apart.
UNNAMED_LIMITS = SenderLimits(per_second=None, burst=0, waiting=10_000, working=64)


def sender_of(principal: str | None, message: RawMessage) -> str:
    """Return whom a message counts for: a key, or the person for whom the console sends it."""
    if principal == CONSOLE:
        person = (message.headers or {}).get(envelope.ON_BEHALF_OF, "")
        return f"{CONSOLE} {person}"
    return principal or ""


def limits_of(principal: str | None) -> SenderLimits:
    """Return how much a sender may send."""
    match principal:
        case None:
            return UNNAMED_LIMITS
        case name if name == MONITOR:
            return MONITOR_LIMITS
        case _:
            return PERSON_LIMITS
