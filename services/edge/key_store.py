"""The SDK keys that an edge accepts: those of its region, and those of the region's environment."""

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

#: Compared with an unknown key, so that the answer takes the same time.
NO_DIGEST = "0" * 64


class KeyStore:
    """The digests of all SDK keys and the region's environment, kept on disk like the rules."""

    def __init__(self, region: str, cache: RuleCache) -> None:
        self._region = region
        self._environment: str | None = None
        self._keys: dict[str, SdkKey] = {}
        self.cache = cache
        for subject, data in cache.documents():
            self._apply(subject, data)

    def follow(self, connection: Connection) -> "KeyFollower":
        """Return a block in which the keys are kept current."""
        return KeyFollower(self, connection)

    def is_authorized(self, key: str) -> bool:
        """Return whether a key gives access to this region."""
        known = self._keys.get(sdk_keys.key_id(key))
        is_right = hmac.compare_digest(sdk_keys.digest(key), known.digest if known else NO_DIGEST)
        return is_right and known is not None and self._is_for_region(known)

    def token(self, purpose: str) -> str:
        """Return a token that proves to every replica that the holder of a key asked for this purpose."""
        secret = "".join(sorted(key.digest for key in self._keys.values() if self._is_for_region(key)))
        return hmac.new(secret.encode(), purpose.encode(), hashlib.sha256).hexdigest()

    def close(self) -> None:
        """Close the file."""
        self.cache.close()

    def apply(self, record: Record, follower: Follower) -> None:
        """Apply a document of CATALOG, and store it."""
        data = None if record.is_deletion else record.data
        if self._apply(record.subject, data):
            position = follower.position._replace(sequence=record.sequence)
            self.cache.put(record.subject, data, position)

    def reset(self) -> None:
        """Clear the file: the stream was recreated. Known keys stay valid until they are read again."""
        self.cache.clear()

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
        except ValidationError as error:
            log.error("%s: invalid %s, keeping the previous version: %s", subject, kind, error)
            return False
        return True


class KeyFollower:
    """Follows CATALOG into a key store while the block runs."""

    def __init__(self, keys: KeyStore, connection: Connection) -> None:
        self.follower: Follower = Follower(
            connection,
            subjects.CATALOG_STREAM,
            [subjects.catalogue_of("key"), subjects.catalogue_of("region")],
            lambda record: keys.apply(record, self.follower),
            on_reset=keys.reset,
            after=keys.cache.position(),
        )

    async def __aenter__(self) -> Self:
        await self.follower.__aenter__()
        return self

    async def __aexit__(self, *details: Any) -> None:
        await self.follower.__aexit__(*details)
