"""Unit → bucket, as Statsig's Server Core SDKs assign them."""

import struct
from collections.abc import Callable
from hashlib import sha256

from .list_texts import LIST_TEXTS
from .users import AnyUser, Lookup

BUCKETS = 10_000
USER_BUCKETS = 1_000
#: Units whose result a rule caches; about 30 KB at most for each rule with a percentage.
CACHED_UNITS_MAX = 256
#: Characters of a unit that is remembered.
CACHED_LENGTH_MAX = 200

_first_64_bits = struct.Struct(">Q").unpack_from


def hash64(text: str) -> int:
    """Return the first 8 bytes of the SHA-256 of `text`, big-endian."""
    number: int = _first_64_bits(sha256(_bytes(text)).digest())[0]
    return number


def bucket_of(unit: str, salt: str) -> int:
    """Return the bucket (0 to 999) of a unit."""
    return hash64(f"{salt}.{unit}") % USER_BUCKETS


def percentage_test(percentage: float, salt: str, unit: Lookup) -> Callable[[AnyUser], bool]:
    """Return what tests whether a user's unit is within a percentage (0 to 100).

    `salt` is the spec's and the rule's, joined by a dot. While it stays the same, a unit that is within
    some percentage is within every greater one.
    """
    if percentage in (0, 100):
        return lambda user: percentage == 100
    # The salt is hashed once; each unit continues from a copy.
    copy_hash = sha256(_bytes(f"{salt}.")).copy
    limit = percentage * 100.0
    first_64_bits = _first_64_bits
    # A request checks its user many times, and the digest is most of what a check costs.
    cache: dict[str, bool] = {}

    def is_within(user: AnyUser) -> bool:
        id_ = unit(user)
        text = id_ if id_.__class__ is str else LIST_TEXTS.text(id_) or ""
        passes = cache.get(text)
        if passes is not None:
            return passes
        digest = copy_hash()
        try:
            digest.update(text.encode())
        except UnicodeEncodeError:
            digest.update(_bytes(text))
        number: int = first_64_bits(digest.digest())[0]
        passes = number % BUCKETS < limit
        if len(text) > CACHED_LENGTH_MAX:
            return passes
        if len(cache) >= CACHED_UNITS_MAX:
            cache.clear()
        cache[text] = passes
        return passes

    return is_within


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
