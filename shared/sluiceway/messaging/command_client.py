"""Sends commands to a scheduler, by request-reply."""

import asyncio
import random
import time
from weakref import WeakValueDictionary

from nats.errors import Error as NatsError
from nats.errors import NoRespondersError, OutboundBufferLimitError
from nats.errors import TimeoutError as NatsTimeoutError

from ..contracts import envelope, subjects
from ..contracts.commands import COMMAND_MAX_BYTES, TAKING_BACK_VERBS, Command
from ..contracts.replies import Outcome, RefusalCode, Reply
from ..errors import Unavailable
from ..pipelines import refusals
from .connection import Connection
from .stall_retries import STALL_SECONDS_MAX, StallRetries

#: Commands under way of one sender, in each of the two lanes that the scheduler has; the others wait here.
#: At its 50 a second they wait less than the 0.5 s after which it refuses them.
UNDER_WAY_MAX = 16
#: For one attempt: a request can be lost with a connection.
ATTEMPT_SECONDS = 1.0
#: Attempts of a command that is refused because its sender sends too many,
RATE_LIMITED_ATTEMPTS_MAX = 10
#: and the longest pause between two of them.
RATE_LIMITED_SECONDS_MAX = 2.0
#: A scheduler that reconnects listens again after less than the sum of these. In a cluster, it may run at a
#: broker that this one does not reach now: then as many seconds pass as in any stall.
UNHEARD_SECONDS = 0.2
UNHEARD_ATTEMPTS_MAX = 4
#: A sender who was told lately that it sends too many may be shut out: for less than the product of these, at
#: first, and for at most the last of them.
SHUT_OUT_SECONDS = 0.5
SHUT_OUT_ATTEMPTS_MAX = 20
SHUT_OUT_SECONDS_MAX = 60.0


class CommandClient:
    """Sends commands; any scheduler may answer."""

    def __init__(self, connection: Connection, principal: str | None = None) -> None:
        """`principal`: the sender whom the broker vouches for; by default that of the connection."""
        self._client = connection.client
        self._replies = connection.replies
        self._principal = principal or connection.principal
        self._turns: WeakValueDictionary[tuple[str | None, bool], asyncio.Semaphore] = WeakValueDictionary()
        self._rate_limited_at = -SHUT_OUT_SECONDS_MAX

    async def send(self, command: Command) -> Reply:
        """Return the reply; without one, send the command again, which is safe because of its id.

        So is a command sent again that was refused because its sender sends too many, or because the broker
        stalls; the last refusal is returned after 15 s. Many of them wait for each other. A command that no
        scheduler would read is refused here. Raises `Unavailable` if no reply came to any attempt: the
        command may or may not be applied.
        """
        data, bytes_max = command.to_json(), min(COMMAND_MAX_BYTES, self._client.max_payload)
        if len(data) > bytes_max:
            return Reply(outcome=Outcome.REFUSED, refusal=refusals.too_large(len(data), bytes_max))
        async with self._turn(command):
            return await self._send(command, data)

    def _turn(self, command: Command) -> asyncio.Semaphore:
        """Return what bounds the commands under way of a sender: of each person, if they have an identity."""
        sender = command.identity.name if command.identity else None
        key = (sender, command.verb in TAKING_BACK_VERBS)
        turn = self._turns.get(key)
        if turn is None:
            turn = self._turns[key] = asyncio.Semaphore(UNDER_WAY_MAX)
        return turn

    async def _send(self, command: Command, data: bytes) -> Reply:
        retries, unheard, rate_limited = StallRetries(), 0, 0
        stalled: Reply | None = None
        while True:
            try:
                reply = await self._attempt(command, data, retries.within(ATTEMPT_SECONDS))
            except NoRespondersError as error:
                unheard += 1
                may_be_cut_off = retries.is_under_way or self._client.is_in_cluster
                if not (may_be_cut_off and await retries.pause()):
                    await self._pause_unheard(unheard, error)
                continue
            if reply is not None and _is_rate_limited(reply):
                rate_limited += 1
                self._rate_limited_at = time.monotonic()
                if rate_limited >= RATE_LIMITED_ATTEMPTS_MAX and not retries.is_under_way:
                    return reply
                await asyncio.sleep(_pause_seconds(reply, rate_limited))
                continue
            if reply is not None and not _passes_soon(reply):
                return reply
            stalled = reply or stalled
            if not await retries.pause(_seconds_asked(reply)):
                break
        if stalled is None:
            raise Unavailable(f"no reply to {command.verb} in {STALL_SECONDS_MAX:g} s")
        return stalled

    async def _pause_unheard(self, unheard: int, error: NoRespondersError) -> None:
        """Wait until the next attempt; raise `Unavailable` after the last one."""
        may_be_shut_out = time.monotonic() - self._rate_limited_at < SHUT_OUT_SECONDS_MAX
        if unheard >= (SHUT_OUT_ATTEMPTS_MAX if may_be_shut_out else UNHEARD_ATTEMPTS_MAX):
            raise Unavailable(self._unheard_text()) from error
        await asyncio.sleep(SHUT_OUT_SECONDS if may_be_shut_out else UNHEARD_SECONDS)

    def _unheard_text(self) -> str:
        text = "no scheduler is listening; is one running?"
        if self._principal is None:
            return text
        return (
            f"{text} Or it does not listen to {self._principal}, which has sent too many commands: "
            f"send this one again in {SHUT_OUT_SECONDS_MAX:g} s"
        )

    async def _attempt(self, command: Command, data: bytes, timeout: float) -> Reply | None:
        """Return the reply, or None if none came in time; `NoRespondersError` if nobody listens."""
        subject = subjects.command(command.verb, self._principal)
        try:
            answer = await self._replies.request(subject, data, timeout=timeout, headers=_headers(command))
        except NoRespondersError:
            raise
        except (NatsTimeoutError, TimeoutError, OutboundBufferLimitError):  # the last one: it reconnects
            return None
        except NatsError as error:
            raise Unavailable(f"cannot send {command.verb}: {error}") from error
        return Reply.read(answer)


def _headers(command: Command) -> dict[str, str] | None:
    """Return the header that says for whom the console sends a command."""
    if command.identity is None:
        return None
    return {envelope.ON_BEHALF_OF: envelope.header_safe(command.identity.name)}


def _is_rate_limited(reply: Reply) -> bool:
    return reply.refusal is not None and reply.refusal.code is RefusalCode.RATE_LIMITED


def _passes_soon(reply: Reply) -> bool:
    """Return whether the same command may be stored soon: the scheduler says when, except if it failed."""
    refusal = reply.refusal
    if refusal is None or refusal.code is not RefusalCode.UNAVAILABLE:
        return False
    return refusal.retry_after_ms is not None


def _pause_seconds(reply: Reply, attempt: int) -> float:
    """Return what the scheduler says, and more after each attempt: others of the same sender wait, too."""
    asked = _seconds_asked(reply) * attempt * random.uniform(1, 2)  # noqa: S311 (not a secret)
    return min(asked, RATE_LIMITED_SECONDS_MAX)


def _seconds_asked(reply: Reply | None) -> float:
    """Return after which time the scheduler wants to hear the command again."""
    refusal = reply.refusal if reply else None
    return (refusal.retry_after_ms or 0) / 1_000 if refusal else 0.0
