"""The copies on the leaf node of a region: mirrors of those in the region's account at the hub.

Each mirror reads by a consumer of its own, which the scheduler creates in the account. After a cut it goes on
as soon as the consumer is heard: a mirror that has to create its consumers itself waits for up to two minutes
if it asked for one while the link was down. The consumer ends with the copy that it reads, so a mirror whose
consumer exists belongs to the history that is there now.
"""

import contextlib
import json
import uuid
from typing import NamedTuple

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import StreamInfo
from nats.js.errors import APIError, NotFoundError

from ..contracts import subjects
from ..errors import SluicewayError
from .history_loss import settled
from .jetstream_api import ANSWER_SECONDS
from .leaf_copies import (
    AnyAnswer,
    CopyState,
    LeafCopy,
    StreamAnswer,
    consumer_config,
    decoded,
    leaf_copy_config,
)
from .region_streams import COPIES

#: Error codes for: a stream of this name has another configuration; an invalid request, for example a way
#: to acknowledge that this version does not know.
STREAM_EXISTS = 10058
INVALID_JSON = 10025
#: Keys are not compared one by one if there are more of them, with those that were deleted: the answer of a
#: broker has 1 MB at most.
COMPARED_MAX = 10_000
_WITH_MESSAGES = {"subjects_filter": ">", "deleted_details": True}


class OldBroker(SluicewayError):
    """A broker is too old for a region behind a leaf node."""


class HubCopy(NamedTuple):
    """What the hub says of its copy."""

    info: StreamInfo
    state: CopyState


class CopyProblem(NamedTuple):
    """Why a copy on a leaf node has to be created or replaced, and the one that is there."""

    copy: str
    why: str
    found: LeafCopy | None


class KeyComparison(NamedTuple):
    """Whether the keys on a leaf node are those at the hub."""

    #: False while one of them has more.
    is_done: bool
    problem: CopyProblem | None = None


class CopyStatus(NamedTuple):
    """How a copy is."""

    copy: str
    problem: CopyProblem | None
    messages: int
    messages_at_hub: int
    #: The hub holds something that it has not copied yet.
    is_behind: bool


class RegionLeaf:
    """The leaf node of one region, as the hub reaches it.

    Every method raises nats-py's errors: `NoRespondersError` if the region has no leaf node, or its link is
    down, `NotFoundError` if the hub has no copy, and `APIError` for an answer that is none.
    """

    def __init__(self, client: Client, region: str) -> None:
        self.region = region
        self._client = client

    async def problems(self) -> list[CopyProblem]:
        """Return what is wrong with the copies."""
        return [status.problem for status in await self.look() if status.problem]

    async def look(self) -> list[CopyStatus]:
        """Return how each copy is."""
        return [await self._status(copy) for copy in COPIES]

    async def compare_keys(self) -> KeyComparison:
        """Compare which keys both have, one by one.

        A hub that was restored while the link was down, and had more messages again when it was back, may end
        with the same message as the copy, of as many.
        """
        copy = subjects.CATALOG_STREAM
        size = (await self._hub_copy(copy)).state
        if size.messages + size.num_deleted > COMPARED_MAX:
            return KeyComparison(is_done=True)
        found = await self._ask_leaf(f"STREAM.INFO.{copy}", _WITH_MESSAGES)
        hub = await self._hub_copy(copy, _WITH_MESSAGES)
        same = found.state.holds_the_same(hub.state)
        if same is False:
            return KeyComparison(True, CopyProblem(copy, "it holds other keys than the hub", found))
        return KeyComparison(is_done=same is not None)

    async def repair(self, problem: CopyProblem) -> None:
        """Create a copy, or replace it; raises `OldBroker` too."""
        copy, found = problem.copy, problem.found
        consumer = f"leaf-{uuid.uuid4().hex[:12]}"
        await self._create_consumer(copy, consumer)
        try:
            if found:
                await self._delete(copy, found)
            await self._create(copy, consumer, found.config.num_replicas if found else 1)
        except (NatsError, TimeoutError, OldBroker) as error:
            # The hub forgets it after a week only. If the leaf node reads it after all, the copy is replaced.
            await self._delete_consumer(copy, consumer)
            if isinstance(error, APIError) and error.err_code == STREAM_EXISTS:
                return  # somebody else has repaired it at the same time
            raise

    async def _create(self, copy: str, consumer: str, replicas: int) -> None:
        """Create a copy on the leaf node."""
        config = leaf_copy_config(copy, consumer, replicas)
        created = await self._ask_leaf(f"STREAM.CREATE.{copy}", config)
        if created.consumer is None:
            raise OldBroker(
                f"the leaf node of {self.region} ignores with which consumer to copy; it needs "
                "nats-server 2.14 or newer"
            )

    async def remove(self) -> list[str]:
        """Delete the copies on the leaf node; return which of them were there."""
        removed = []
        for copy in COPIES:
            if found := await self._find(copy):
                await self._delete(copy, found)
                removed.append(copy)
        return removed

    async def hub_copies(self) -> list[HubCopy]:
        """Return what the hub says of its copies, whether the leaf node answers or not."""
        return [await self._hub_copy(copy) for copy in COPIES]

    async def _hub_copy(self, copy: str, body: object = None) -> HubCopy:
        answer = await self._request(subjects.region_api(self.region, f"STREAM.INFO.{copy}"), body)
        state = decoded(StreamAnswer, answer).state
        try:
            info: StreamInfo = StreamInfo.from_response(json.loads(answer))
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise APIError(description=f"not the description of a stream: {error}") from error
        if state is None:
            raise APIError(description="not the description of a stream")
        return HubCopy(info, state)

    async def _status(self, copy: str) -> CopyStatus:
        found = await self._find(copy)
        hub = await self._hub_copy(copy)
        why = await self._why_wrong(copy, found, hub.state)
        return CopyStatus(
            copy,
            CopyProblem(copy, why, found) if why else None,
            found.state.messages if found else 0,
            hub.state.messages,
            found is None or found.is_behind(hub.state),
        )

    async def _why_wrong(self, copy: str, found: LeafCopy | None, hub: CopyState) -> str | None:
        """Return why a copy has to be created or replaced; `hub` is not older than `found`."""
        if found is None:
            return "it is missing"
        if not found.is_declared_as(copy):
            return "its configuration is another one"
        if not await self._has_consumer(copy, found.consumer):
            return "what it was copied from is not there any more"
        if found.is_of_another_history(hub) and await self._is_confirmed(copy, found):
            return "it holds what the hub does not"
        return None

    async def _is_confirmed(self, copy: str, found: LeafCopy) -> bool:
        """Return whether a copy is of another history, and the hub is not just behind."""
        newest = await self._hub_copy(copy)

        async def look() -> StreamInfo:
            nonlocal newest
            newest = await self._hub_copy(copy)
            return newest.info

        await settled(look, lambda _: found.is_of_another_history(newest.state))
        return found.is_of_another_history(newest.state)

    async def _find(self, copy: str) -> LeafCopy | None:
        try:
            return await self._ask_leaf(f"STREAM.INFO.{copy}")
        except NotFoundError:
            return None

    async def _has_consumer(self, copy: str, consumer: str | None) -> bool:
        subject = subjects.region_api(self.region, f"CONSUMER.INFO.{copy}.{consumer}")
        try:
            await self._request(subject)
        except NotFoundError:
            return False
        return True

    async def _create_consumer(self, copy: str, consumer: str) -> None:
        config = consumer_config(consumer)
        subject = subjects.region_api(self.region, f"CONSUMER.CREATE.{copy}.{consumer}")
        try:
            await self._request(subject, {"stream_name": copy, "config": config})
        except APIError as error:
            if error.err_code != INVALID_JSON:
                raise
            raise OldBroker(
                f"the brokers cannot serve the leaf node of {self.region}; "
                "they need nats-server 2.14 or newer"
            ) from error

    async def _delete(self, copy: str, found: LeafCopy) -> None:
        with contextlib.suppress(NotFoundError):  # somebody else has deleted it
            await self._request(subjects.leaf_api(self.region, f"STREAM.DELETE.{copy}"))
        if found.consumer:
            await self._delete_consumer(copy, found.consumer)

    async def _delete_consumer(self, copy: str, consumer: str) -> None:
        with contextlib.suppress(NotFoundError):  # it has ended with what it read
            await self._request(subjects.region_api(self.region, f"CONSUMER.DELETE.{copy}.{consumer}"))

    async def _ask_leaf(self, request: str, body: object = None) -> LeafCopy:
        info = decoded(StreamAnswer, await self._request(subjects.leaf_api(self.region, request), body))
        if info.config is None or info.state is None:
            raise APIError(description="not the description of a stream")
        return LeafCopy(info.config, info.state)

    async def _request(self, subject: str, body: object = None) -> bytes:
        """Return the answer to a request; raise `APIError` if it is an error, and nats-py's own errors."""
        data = b"" if body is None else json.dumps(body).encode()
        reply = await self._client.request(subject, data, timeout=ANSWER_SECONDS)
        if error := decoded(AnyAnswer, reply.data).error:
            error.raise_error()
        return reply.data
