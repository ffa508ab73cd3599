"""Declares the streams of rules: creates them, changes their number, and adds the subjects of new regions.

All that they hold is derived, so they are deleted and created again when their number changes. The first
stream says how many there are; it goes first and comes last. Without it nobody can tell how the rules are
spread, so a scheduler that finds it missing starts over.
"""

import contextlib
import logging
import re
from collections.abc import Collection, Iterable, Mapping

from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from nats.js.errors import APIError, NotFoundError
from pydantic import JsonValue, TypeAdapter

from ..contracts import subjects
from ..contracts.identifiers import NAME_PATTERN
from .jetstream_api import API, request_jetstream
from .rules_streams import COUNT_METADATA, RulesStreams
from .stream_creation import create_stream
from .stream_upgrades import upgrade

log = logging.getLogger(__name__)

_is_name = re.compile(NAME_PATTERN).fullmatch
_is_later_stream = re.compile(rf"{subjects.RULES_STREAM}_[0-9]+").fullmatch
_RULES_PREFIX = subjects.RULES.removesuffix(">")
_DOCUMENT: TypeAdapter[dict[str, JsonValue]] = TypeAdapter(dict[str, JsonValue])
_TEXTS: TypeAdapter[list[str]] = TypeAdapter(list[str])
_METADATA: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, str])


class RulesDeclaration:
    """What a scheduler does with the streams of rules; several may do so at the same time.

    Its methods raise nats-py's errors. Each may stop anywhere, and be called again.
    """

    def __init__(self, js: JetStreamContext, config: StreamConfig) -> None:
        """`config`: of the first stream, if it is the only one; the others have the same settings."""
        self._js = js
        self._config = config
        #: As they were when they were completed last; None while another scheduler changes the number.
        self.streams: RulesStreams | None = None

    async def declare(self, wanted: int | None) -> None:
        """Create what is missing; with another number than `wanted`, delete all streams and create them.

        None: as many as there are, one if there is none. Schedulers that want different numbers at the same
        time get one of them.
        """
        first = await self._stored_config(subjects.RULES_STREAM)
        count = _metadata(first).get(COUNT_METADATA, "1") if first else None
        streams = RulesStreams(wanted) if wanted else _parse(first or {})
        if count == str(streams.groups):
            await upgrade(self._js, self._config)
        else:
            if count:
                log.warning(
                    "changing the number of streams that hold the rules from %s to %s: all rules are written "
                    "again, and until then regions keep those that they have",
                    count,
                    streams.groups,
                )
                await self._delete(subjects.RULES_STREAM)
            await self._create_all(streams)
        await self.complete()

    async def complete(self) -> bool:
        """Create missing streams, and add the subjects of new regions; return whether anything was changed.

        It does nothing while the first stream is missing, or is the only one. An update of a stream has no
        condition, so that another scheduler may undo it: look again after a change, and from time to time.
        """
        first = await self._stored_config(subjects.RULES_STREAM)
        self.streams = streams = _parse(first) if first else None
        if streams is None or streams.groups == 1:
            return False
        regions = await self._regions()
        is_changed = await self._delete_void(streams)
        for group in range(streams.groups):
            is_changed = await self._complete_one(streams, group, regions) or is_changed
        return is_changed

    async def _delete_void(self, streams: RulesStreams) -> bool:
        """Delete streams that mislead: another scheduler created or changed them for another number.

        Return whether there was one.
        """
        void = [name for name in await self._names() if _is_later_stream(name) and name not in streams.names]
        for group, name in enumerate(streams.names):
            stored = await self._stored_config(name)
            if stored and _is_of(streams, group, stored) and (foreign := _foreign(streams, group, stored)):
                log.warning("creating the stream %s again: the subject %s is not its own", name, foreign[0])
                void.append(name)
        await self._delete_all(void)
        return bool(void)

    async def _complete_one(self, streams: RulesStreams, group: int, regions: Collection[str]) -> bool:
        name = streams.names[group]
        stored = await self._stored_config(name)
        if stored is None:
            await self._create(streams, group, regions)
            return True
        known = _TEXTS.validate_python(stored["subjects"])
        missing = sorted(set(streams.subjects(group, regions)) - set(known))
        if not missing or not _is_of(streams, group, stored):
            return False
        log.info("the stream %s gets %s more regions, %s first", name, len(missing), missing[0])
        changed = {**stored, "subjects": [*known, *missing]}
        await request_jetstream(self._js._nc, f"{API}.STREAM.UPDATE.{name}", changed)
        return True

    async def _create_all(self, streams: RulesStreams) -> None:
        names = await self._names()
        if subjects.RULES_STREAM in names:
            return  # another scheduler was faster
        await self._delete_all(filter(_is_later_stream, names))
        regions = await self._regions()
        for group in reversed(range(streams.groups)):
            await self._create(streams, group, regions)

    async def _create(self, streams: RulesStreams, group: int, regions: Collection[str]) -> None:
        config = self._config.evolve(name=streams.names[group], subjects=streams.subjects(group, regions))
        if group == 0 and streams.metadata:
            config = config.evolve(metadata=streams.metadata)
        await create_stream(self._js, config)

    async def _delete_all(self, names: Iterable[str]) -> None:
        for name in names:
            await self._delete(name)

    async def _delete(self, name: str) -> None:
        with contextlib.suppress(NotFoundError):
            await self._js.delete_stream(name)
            log.info("deleted the stream %s", name)

    async def _names(self) -> list[str]:
        """Return the streams that store rules of any region."""
        request = {"subject": subjects.RULES, "offset": 0}
        answer = await request_jetstream(self._js._nc, f"{API}.STREAM.NAMES", request)
        return _TEXTS.validate_python(answer.get("streams") or [])

    async def _regions(self) -> list[str]:
        """Return all regions that the catalogue has ever named, as the leader of its stream knows them."""
        places = subjects.catalogue_of("region")
        info = await self._js.stream_info(subjects.CATALOG_STREAM, subjects_filter=places)
        names = (subjects.parse_catalogue(place)[1] for place in info.state.subjects or {})
        return list(filter(_is_name, names))

    async def _stored_config(self, name: str) -> Mapping[str, JsonValue] | None:
        """Return all of the configuration of a stream; None if the stream is missing."""
        try:
            answer = await request_jetstream(self._js._nc, f"{API}.STREAM.INFO.{name}")
        except NotFoundError:
            return None
        return _DOCUMENT.validate_python(answer["config"])


def _metadata(stored: Mapping[str, JsonValue]) -> dict[str, str]:
    return _METADATA.validate_python(stored.get("metadata") or {})


def _parse(first: Mapping[str, JsonValue]) -> RulesStreams:
    """Return what the first stream says; `APIError` if no version of ours has written it."""
    try:
        return RulesStreams.parse(_metadata(first))
    except ValueError as error:
        raise APIError(
            description=f"{error}; set SLUICEWAY_RULES_STREAMS to the number that you want"
        ) from error


def _is_of(streams: RulesStreams, group: int, stored: Mapping[str, JsonValue]) -> bool:
    """Return whether a stream still belongs to these: another scheduler may have changed the number."""
    return group > 0 or _parse(stored) == streams


def _foreign(streams: RulesStreams, group: int, stored: Mapping[str, JsonValue]) -> list[str]:
    """Return the subjects of a stream that belong to another one."""
    listed = [
        place for place in _TEXTS.validate_python(stored["subjects"]) if place.startswith(_RULES_PREFIX)
    ]
    return sorted({*listed} - {*streams.subjects(group, map(subjects.parse_region, listed))})
