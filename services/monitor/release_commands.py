"""Sends the monitor's commands: one is done if the state of the release shows it, whatever the reply says."""

import logging

from sluiceway.contracts.commands import GuardrailCommand, RollBackTrigger, TriggerCommand, derived_id
from sluiceway.contracts.replies import Outcome, RefusalCode, Reply
from sluiceway.errors import Unavailable
from sluiceway.messaging.command_client import CommandClient
from sluiceway.pipelines.rollbacks import has_taken_effect

log = logging.getLogger(__name__)

#: The command was not looked at: it is sent again later.
NOT_PROCESSED = (RefusalCode.UNAVAILABLE, RefusalCode.RATE_LIMITED)


async def send_until_effective(commands: CommandClient, command: TriggerCommand, since_ms: int) -> Reply:
    """Return the reply to a command that takes a release back or pauses it, because of what came `since_ms`.

    A reply that it was done before counts only if the state shows it; else it is sent under another id, the
    same one for the same state. `Unavailable` if no scheduler processed it, or if that does not help.
    """
    reply = await _send(commands, command)
    if _is_without_effect(reply, command, since_ms):
        log.error(
            "%s: %s is answered as done (%s), but its state does not show that: sending it under another id",
            command.trigger,
            command.verb,
            reply.message,
        )
        id_ = derived_id(command.verb, command.id, reply.revision_tag)
        reply = await _send(commands, command.model_copy(update={"id": id_}))
        if _is_without_effect(reply, command, since_ms):
            raise Unavailable(f"{command.trigger}: {command.verb} has no effect: {reply.message}")
    return reply


async def _send(commands: CommandClient, command: TriggerCommand) -> Reply:
    reply = await commands.send(command)
    if (
        reply.refusal
        and reply.refusal.code is RefusalCode.TOO_LARGE
        and isinstance(command, GuardrailCommand)
    ):
        log.warning(
            "%s: sending %s without its evidence: %s", command.trigger, command.verb, reply.refusal.message
        )
        reply = await commands.send(_without_evidence(command))
    if reply.refusal and reply.refusal.code in NOT_PROCESSED:
        raise Unavailable(reply.refusal.message)
    return reply


def _without_evidence(command: GuardrailCommand) -> GuardrailCommand:
    """Return a command that only names its guardrail, which decides what it may do."""
    name = command.guardrail.get("name")
    smaller = command.model_copy(update={"guardrail": {} if name is None else {"name": name}})
    return smaller.model_copy(update={"alert": {}}) if isinstance(smaller, RollBackTrigger) else smaller


def _is_without_effect(reply: Reply, command: TriggerCommand, since_ms: int) -> bool:
    return reply.outcome is Outcome.UNCHANGED and not has_taken_effect(command, reply.feature, since_ms)
