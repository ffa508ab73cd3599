"""Declares the streams of rules: creates them, changes their number, and adds the subjects of new regions.

All that they hold is derived, so they are deleted and created again when their number changes. Each says for
which number it was created. What the first one says counts: it is deleted first and created last. Without it
nobody can tell how the rules are spread, and a scheduler that starts completes the change. Nothing is deleted
before it is proved that the new streams can be created.
"""

import contextlib
import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from nats.js.errors import APIError, NotFoundError
from pydantic import JsonValue, TypeAdapter

from ..contracts import subjects
from ..contracts.identifiers import NAME_PATTERN
from .jetstream_api import API, request_jetstream
from .rules_streams import COUNT_METADATA, STREAMS_MAX, RulesStreams
from .stream_creation import create_stream
from .stream_placeholders import creation_error, delete_placeholders
from .stream_upgrades import upgrade

log = logging.getLogger(__name__)

#: After so many refusals to create the streams that are wanted, as many as before are created.
REFUSALS_MAX = 5

MISSING = f"the stream {subjects.RULES_STREAM} is missing"
DAMAGED = f"the subjects of the stream {subjects.RULES_STREAM} are of another number of streams than it says"

_is_name = re.compile(NAME_PATTERN).fullmatch
_is_later_stream = re.compile(rf"{subjects.RULES_STREAM}_[0-9]+").fullmatch
#: What each of several streams may say.
_COUNTS = frozenset(map(str, range(2, STREAMS_MAX + 1)))
#: The configuration of a stream as JetStream has it, also what this version does not know.
_Config = Mapping[str, JsonValue]
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
        #: Why nobody can tell how the rules are spread, when they were looked at last.
        self.problem: str | None = None
        #: As they were when somebody could tell last.
        self._known = RulesStreams()
        self._has_begun = False
        #: How often JetStream has refused to create what is missing.
        self._refusals = 0

    async def declare(self, wanted: int | None) -> None:
        """Create what is missing; if there is another number of streams than `wanted`, change it.

        None: as many as there are, or were before the first one was lost; one if there is none. Schedulers
        that want different numbers at the same time get one of them: each begins one change at most, and
        completes what it finds afterwards. A number that JetStream does not take is refused with a warning,
        and everything stays.
        """
        await delete_placeholders(self._js)
        first = await self._stored_config(subjects.RULES_STREAM)
        if first is not None and _is_damaged(first):
            log.warning("creating %s again: %s", subjects.RULES_STREAM, DAMAGED)
            await self._delete(subjects.RULES_STREAM)
            first = None
        if first is None:
            await self._create_all(wanted)
        elif wanted and _count(first) != str(wanted):
            await self._change(first, wanted)
        await self.complete()
        for name in self._known.names:
            await upgrade(self._js, self._config.evolve(name=name))

    async def _change(self, first: _Config, wanted: int) -> None:
        """Replace the streams by another number of them, if they can be created."""
        count, existing = _count(first), len(await self._names())
        if self._has_begun:
            log.warning("keeping %s streams of rules, as another scheduler wants, not %s", count, wanted)
            return
        if reason := await creation_error(self._js, self._config, RulesStreams(wanted), existing):
            log.warning(
                "cannot change the number of streams that hold the rules from %s to %s: %s; everything stays "
                "as it is until a scheduler is started again",
                count,
                wanted,
                reason,
            )
            return
        log.warning(
            "changing the number of streams that hold the rules from %s to %s: all rules are written again, "
            "and until then regions keep those that they have",
            count,
            wanted,
        )
        self._has_begun = True
        with contextlib.suppress(APIError):  # no version of ours has written it
            self._known = _parse(first)
        await self._delete(subjects.RULES_STREAM)
        await self._create_all(wanted)

    async def _create_all(self, wanted: int | None) -> None:
        """Create the streams of rules while the first one is missing; that one last.

        Somebody else may have taken what was proved to be there: then as many as before are created, in the
        end.
        """
        if self._refusals >= REFUSALS_MAX:
            streams = self._known
            log.warning("creating %s streams of rules, since another number was refused", streams.groups)
        else:
            streams = RulesStreams(wanted) if wanted else await self._surviving()
        try:
            places = await self._places(streams)
            await self._complete(streams, range(1, streams.groups), places)
            await self._create(streams, 0, places[0])
        except APIError:
            self._refusals += 1
            raise
        self._refusals = 0

    async def _surviving(self) -> RulesStreams:
        """Return how many streams there were, as those say that are left; else as many as were known last."""
        names = [name for name in await self._names() if _is_later_stream(name)]
        configs = [config for name in names if (config := await self._stored_config(name))]
        counts = [count for config in configs if (count := _count(config)) in _COUNTS]
        if not counts:
            return self._known
        streams = RulesStreams(int(max(counts, key=counts.count)))
        log.warning(
            "the stream %s is missing: there were %s streams of rules, by what is left: %s",
            subjects.RULES_STREAM,
            streams.groups,
            ", ".join(names),
        )
        return streams

    async def complete(self) -> bool:
        """Create missing streams, and add the subjects of new regions; return whether anything was changed.

        It does nothing while the first stream is missing or damaged, or is the only one. An update of a
        stream has no condition, so that another scheduler may undo it: look again after a change, and from
        time to time.
        """
        first = await self._stored_config(subjects.RULES_STREAM)
        self.streams, self.problem = None, MISSING
        if first is None:
            return False
        self.problem = DAMAGED
        streams = _parse(first)
        if _is_damaged(first):
            return False
        self.streams, self.problem, self._known = streams, None, streams
        if streams.groups == 1:
            return False
        return await self._complete(streams, range(streams.groups), await self._places(streams))

    async def _complete(
        self, streams: RulesStreams, groups: Iterable[int], places: Sequence[Collection[str]]
    ) -> bool:
        """Do so for some groups; never create the first stream, which tells that all others are there.

        A stream of the same number stays, also of a change that was interrupted.
        """
        stored = {group: await self._stored_config(streams.names[group]) for group in groups}
        fitting = {streams.names[group] for group, config in stored.items() if _is_of(streams, config)}
        void = [name for name in await self._names() if _is_later_stream(name) and name not in fitting]
        for name in void:
            await self._delete(name)
        is_changed = bool(void)
        for group, config in stored.items():
            is_missing = config is None or streams.names[group] in void
            if is_missing and group == 0:  # another scheduler has begun to change the number
                continue
            if is_missing:
                await self._create(streams, group, places[group])
                is_changed = True
            elif not set(places[group]).issubset(_listed(config or {})):
                await self._add(streams, group, places[group])
                is_changed = True
        return is_changed

    async def _add(self, streams: RulesStreams, group: int, places: Collection[str]) -> None:
        """Add subjects to a stream, unless another scheduler has done so or changes the number."""
        name = streams.names[group]
        stored = await self._stored_config(name)
        if stored is None or not _is_of(streams, stored):
            return
        listed = _listed(stored)
        if missing := sorted(set(places) - set(listed)):
            log.info("the stream %s gets %s more subjects, %s first", name, len(missing), missing[0])
            changed = {**stored, "subjects": [*listed, *missing]}
            await request_jetstream(self._js._nc, f"{API}.STREAM.UPDATE.{name}", changed)

    async def _create(self, streams: RulesStreams, group: int, places: Collection[str]) -> None:
        config = self._config.evolve(name=streams.names[group], subjects=sorted(places))
        await create_stream(self._js, config.evolve(metadata=streams.metadata or None))

    async def _delete(self, name: str) -> None:
        with contextlib.suppress(NotFoundError):
            await self._js.delete_stream(name)
            log.info("deleted the stream %s", name)

    async def _names(self) -> list[str]:
        """Return the streams that store rules of any region."""
        request = {"subject": subjects.RULES, "offset": 0}
        answer = await request_jetstream(self._js._nc, f"{API}.STREAM.NAMES", request)
        return _TEXTS.validate_python(answer.get("streams") or [])

    async def _places(self, streams: RulesStreams) -> list[set[str]]:
        """Return the subjects of each stream, for all regions that the catalogue has ever named.

        The leader of its stream is asked for them.
        """
        documents = subjects.catalogue_of("region")
        info = await self._js.stream_info(subjects.CATALOG_STREAM, subjects_filter=documents)
        regions: list[list[str]] = [[] for _ in range(streams.groups)]
        for document in info.state.subjects or {}:
            _, region = subjects.parse_catalogue(document)
            if _is_name(region):
                regions[streams.group_of(region)].append(region)
        return [set(streams.subjects(group, own)) for group, own in enumerate(regions)]

    async def _stored_config(self, name: str) -> _Config | None:
        """Return all of the configuration of a stream; None if the stream is missing."""
        try:
            answer = await request_jetstream(self._js._nc, f"{API}.STREAM.INFO.{name}")
        except NotFoundError:
            return None
        return _DOCUMENT.validate_python(answer["config"])


def _count(stored: _Config) -> str:
    """Return the number of streams that a stream was created for."""
    return _metadata(stored).get(COUNT_METADATA, "1")


def _is_damaged(first: _Config) -> bool:
    """Return whether the first stream lists subjects of another number than it says.

    That is so after `nats stream edit --config` with a file that has no metadata.
    """
    count, listed = _count(first), _listed(first)
    if count not in _COUNTS:
        return count == "1" and bool(listed) and subjects.RULES not in listed
    streams, own = RulesStreams(int(count)), set(listed) - {subjects.checkpoint()}
    return any(streams.group_of(subjects.parse_region(subject)) for subject in own if _is_rules(subject))


def _is_rules(subject: str) -> bool:
    return subject.startswith(subjects.RULES.removesuffix(">"))


def _is_of(streams: RulesStreams, stored: _Config | None) -> bool:
    """Return whether a stream was created for this number.

    With another number regions are elsewhere, and those who read it need to notice: it must not stay.
    """
    return stored is not None and _count(stored) == str(streams.groups)


def _metadata(stored: _Config) -> dict[str, str]:
    return _METADATA.validate_python(stored.get("metadata") or {})


def _parse(first: _Config) -> RulesStreams:
    """Return what the first stream says; `APIError` if no version of ours has written it."""
    try:
        return RulesStreams.parse(_metadata(first))
    except ValueError as error:
        raise APIError(
            description=f"{error}; set SLUICEWAY_RULES_STREAMS to the number that you want"
        ) from error


def _listed(stored: _Config) -> list[str]:
    return _TEXTS.validate_python(stored.get("subjects") or [])
