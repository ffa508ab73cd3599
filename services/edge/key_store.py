"""The SDK keys that an edge accepts: those of its region, and those of the region's environment."""

import hashlib
import hmac
import logging
from collections.abc import Callable, Mapping
from typing import Any, Self

from cachetools import LRUCache
from pydantic import ValidationError

from sluiceway import sdk_keys
from sluiceway.client.rule_cache import Place, RuleCache
from sluiceway.contracts import subjects
from sluiceway.contracts.catalogue import Region, SdkKey
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.stream_follower import Follower
from sluiceway.messaging.stream_records import START, Record

log = logging.getLogger(__name__)

#: Keys whose stream secret is remembered.
STREAM_SECRETS_MAX = 10_000
#: Compared with an unknown key, so that the answer takes the same time.
NO_DIGEST = "0" * 64


class KeyStore:
    """The digests of all SDK keys and the region's environment, kept on disk like the rules.

    If the catalogue went back, it is read as a whole before it replaces the keys. One that does not know
    the region is of another system, or empty, and replaces nothing; nor does one whose rules are not
    complete.
    """

    def __init__(self, region: str, cache: RuleCache) -> None:
        self._region = region
        self._environment: str | None = None
        self._keys: dict[str, SdkKey] = {}
        #: Digest of a key → what only its holders, and edges that they have asked, can compute.
        self._stream_secrets: LRUCache[str, bytes] = LRUCache(STREAM_SECRETS_MAX)
        #: Called when a key was created or revoked, or when the region got another environment.
        self.on_change: Callable[[], None] = lambda: None
        #: The documents of the catalogue that the keys come from, by subject.
        self._documents: dict[str, bytes] = {}
        #: What was read since the catalogue went back.
        self._staged: dict[str, bytes] | None = None
        #: Returns whether the region's rules are complete.
        self.are_rules_complete: Callable[[], bool] = lambda: True
        self._cache = cache
        loaded = cache.load()
        self._place = loaded[0] if loaded else None
        self._replace(loaded[1] if loaded else {})

    def follow(self, connection: Connection) -> "KeyFollower":
        """Return a block in which the keys are kept current."""
        return KeyFollower(self, connection)

    def is_authorized(self, key: str) -> bool:
        """Return whether a key gives access to this region."""
        return self.find(key) is not None

    def find(self, key: str) -> SdkKey | None:
        """Return the document of a key that gives access to this region; None if it does not."""
        known = self._keys.get(sdk_keys.key_id(key))
        is_right = hmac.compare_digest(sdk_keys.digest(key), known.digest if known else NO_DIGEST)
        if not is_right or known is None or not self._is_for_region(known):
            return None
        if known.digest not in self._stream_secrets:
            self._stream_secrets[known.digest] = hmac.digest(key.encode(), b"event streams", hashlib.sha256)
        return known

    def stream_secret(self, known: SdkKey) -> bytes | None:
        """Return a secret of a key, which those who read its digest do not know; the same in every edge.

        None if nobody has shown the key since this process started.
        """
        return self._stream_secrets.get(known.digest)

    def find_by_id(self, id_: str) -> SdkKey | None:
        """Return the document of the key with this id that gives access to this region."""
        known = self._keys.get(id_)
        return known if known is not None and self._is_for_region(known) else None

    def is_valid(self, known: SdkKey) -> bool:
        """Return whether a key that gave access still does. It is cheap: nothing is hashed."""
        newest = self.find_by_id(known.id)
        return newest is not None and newest.digest == known.digest

    def close(self) -> None:
        """Close the file."""
        self._cache.close()

    @property
    def place(self) -> Place | None:
        """How far the catalogue is applied; None if nothing of it is."""
        return self._place

    def apply(self, record: Record, follower: Follower) -> None:
        """Apply a document of CATALOG, and store it."""
        data = None if record.is_deletion else record.data
        if self._staged is not None:
            _set(self._staged, record.subject, data)
            if data is None and follower.is_caught_up:  # revoked now: nobody waits for that
                self._revoke(record.subject)
            self.finish(follower)
        elif self._apply(record.subject, data):
            _set(self._documents, record.subject, data)
            self._store({record.subject: data}, follower)

    def retry_store(self) -> None:
        """Write the copy on disk again if an earlier write failed; to be called now and then."""
        if self._place:
            self._cache.retry(self._place, lambda: self._documents)

    def _revoke(self, subject: str) -> None:
        kind, _ = subjects.parse_catalogue(subject)
        if kind == "key":
            self._apply(subject, None)
            self._documents.pop(subject, None)

    def reset(self) -> None:
        """Stage what follows: the catalogue went back. Known keys stay valid until it is read."""
        self._staged = {}

    def finish(self, follower: Follower) -> None:
        """Replace the keys by what was read, if that is a catalogue of this system."""
        staged = self._staged
        if staged is None or not (follower.is_caught_up and self.are_rules_complete()):
            return
        if subjects.catalogue("region", self._region) not in staged:
            log.warning("keeping %s keys: the catalogue lacks the region %s", len(self._keys), self._region)
            return
        changes = {subject: staged.get(subject) for subject in self._documents.keys() | staged.keys()}
        self._staged = None
        self._replace(staged)
        self._store(changes, follower)

    def _store(self, changes: Mapping[str, bytes | None], follower: Follower) -> None:
        self._place = Place(follower.position, 0)
        self._cache.store(changes, self._place, lambda: self._documents)

    def _replace(self, documents: Mapping[str, bytes]) -> None:
        """Replace all keys by those in these documents; an invalid one keeps its previous version."""
        kept = self._keys
        self._documents, self._keys = dict(documents), {}
        for subject, data in documents.items():
            kind, id_ = subjects.parse_catalogue(subject)
            if not self._apply(subject, data) and kind == "key" and id_ in kept:
                self._keys[id_] = kept[id_]

    def _is_for_region(self, key: SdkKey) -> bool:
        return key.region == self._region or (key.environment or "") == self._environment

    def _apply(self, subject: str, data: bytes | None) -> bool:
        kind, id_ = subjects.parse_catalogue(subject)
        try:
            if kind == "region" and id_ == self._region:
                self._environment = (
                    Region.model_validate_json(data, extra="ignore").environment if data else None
                )
            elif kind == "key" and data is None:
                self._keys.pop(id_, None)
            elif kind == "key" and data:
                self._keys[id_] = SdkKey.model_validate_json(data, extra="ignore")
            self.on_change()
        except ValidationError as error:
            log.error("%s: invalid %s, keeping the previous version: %s", subject, kind, error)
            return False
        return True


class KeyFollower:
    """Follows CATALOG into a key store while the block runs."""

    def __init__(self, keys: KeyStore, connection: Connection) -> None:
        self._keys = keys
        self.follower = Follower(
            connection,
            subjects.CATALOG_STREAM,
            [subjects.catalogue_of("key"), subjects.catalogue_of("region")],
            lambda record: keys.apply(record, self.follower),
            on_reset=keys.reset,
            on_caught_up=self.finish,
            after=keys.place.position if keys.place else START,
        )

    def finish(self) -> None:
        """Replace the keys by what was read, if nothing is missing."""
        self._keys.finish(self.follower)

    async def __aenter__(self) -> Self:
        await self.follower.__aenter__()
        return self

    async def __aexit__(self, *details: Any) -> None:
        await self.follower.__aexit__(*details)


def _set(documents: dict[str, bytes], subject: str, data: bytes | None) -> None:
    if data is None:
        documents.pop(subject, None)
    else:
        documents[subject] = data
