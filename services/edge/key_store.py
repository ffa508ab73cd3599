"""Who may ask an edge: holders of a key of its region, or of the region's environment."""

import hashlib
import hmac
import logging
from typing import Any, Self

from pydantic import ValidationError

from sluiceway import sdk_keys
from sluiceway.client.rule_cache import RuleCache
from sluiceway.contracts import subjects
from sluiceway.contracts.catalogue import Region, SdkKey
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.stream_follower import Follower, Record

log = logging.getLogger(__name__)

#: Stands where a key is not known, so that the answer takes the same time.
NO_DIGEST = "0" * 64


class KeyStore:
    """The digests of all keys, and the region's environment; kept on disk like the rules.

    Follows CATALOG while the block runs.
    """

    def __init__(self, region: str, cache: RuleCache) -> None:
        self._region = region
        self._environment: str | None = None
        self._known: dict[str, SdkKey] = {}
        self._cache = cache
        for subject, data in cache.documents():
            self._take(subject, data)

    def follow(self, connection: Connection) -> "_KeyFollower":
        """Return a block in which the keys are kept new."""
        return _KeyFollower(self, connection)

    def is_authorized(self, key: str) -> bool:
        """Say whether a key opens this region."""
        known = self._known.get(sdk_keys.key_id(key))
        is_right = hmac.compare_digest(sdk_keys.digest(key), known.digest if known else NO_DIGEST)
        return is_right and known is not None and self._is_for_here(known)

    def token(self, purpose: str) -> str:
        """Return what proves to every replica that somebody with a key asked for this."""
        secret = "".join(sorted(key.digest for key in self._known.values() if self._is_for_here(key)))
        return hmac.new(secret.encode(), purpose.encode(), hashlib.sha256).hexdigest()

    def close(self) -> None:
        self._cache.close()

    def _is_for_here(self, key: SdkKey) -> bool:
        return key.region == self._region or (key.environment or "") == self._environment

    def take(self, record: Record, follower: Follower) -> None:
        """Take a document of CATALOG, and keep it."""
        data = None if record.is_deletion else record.data
        if self._take(record.subject, data):
            position = follower.position._replace(sequence=record.sequence)
            self._cache.put(record.subject, data, position)

    def reset(self) -> None:
        """Begin anew: the broker lost its data. Who was let in stays so until keys are heard again."""
        self._cache.clear()

    @property
    def cache(self) -> RuleCache:
        return self._cache

    def _take(self, subject: str, data: bytes | None) -> bool:
        kind, id_ = subjects.parse_catalogue(subject)
        try:
            if kind == "region" and id_ == self._region:
                self._environment = (
                    Region.model_validate_json(data, extra="ignore").environment if data else None
                )
            elif kind == "key" and data is None:
                self._known.pop(id_, None)
            elif kind == "key" and data:
                self._known[id_] = SdkKey.model_validate_json(data, extra="ignore")
        except ValidationError as error:
            log.error("%s holds no %s; what was there before stays: %s", subject, kind, error)
            return False
        return True


class _KeyFollower:
    def __init__(self, keys_: KeyStore, connection: Connection) -> None:
        self.follower: Follower = Follower(
            connection,
            subjects.CATALOG_STREAM,
            [subjects.catalogue_of("key"), subjects.catalogue_of("region")],
            lambda record: keys_.take(record, self.follower),
            on_reset=keys_.reset,
            after=keys_.cache.position(),
        )

    async def __aenter__(self) -> Self:
        await self.follower.__aenter__()
        return self

    async def __aexit__(self, *details: Any) -> None:
        await self.follower.__aexit__(*details)
