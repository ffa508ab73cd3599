"""Unit → bucket, as Statsig's Server Core SDKs deal them."""

import struct
from collections.abc import Callable
from hashlib import sha256

from .users import AnyUser, Lookup
from .values import user_text

BUCKETS = 10_000
USER_BUCKETS = 1_000
#: Units whose answer a rule keeps; at most some 30 KB for each rule with a percentage.
UNITS_REMEMBERED = 256

_first_64_bits = struct.Struct(">Q").unpack_from


def hash64(text: str) -> int:
    """Return the first 8 bytes of the SHA-256 of `text`, big-endian."""
    number: int = _first_64_bits(sha256(_bytes(text)).digest())[0]
    return number


def bucket_of(unit: str, salt: str) -> int:
    """Return the bucket (0 to 999) of a unit."""
    return hash64(f"{salt}.{unit}") % USER_BUCKETS


def percentage_test(percentage: float, salt: str, unit: Lookup) -> Callable[[AnyUser], bool]:
    """Return what says whether a user's unit is within a percentage (0 to 100).

    `salt` is the spec's and the rule's, joined by a dot. While it stays the same, a unit that
    passes at some percentage passes at every greater one.
    """
    if percentage in (0, 100):
        return lambda user: percentage == 100
    # The salt is hashed once; each unit goes on from a copy.
    salted = sha256(_bytes(f"{salt}.")).copy
    limit = percentage * 100.0
    first_64_bits = _first_64_bits
    # A request asks about its user many times, and the digest is most of what an answer costs.
    remembered: dict[str, bool] = {}

    def within(user: AnyUser) -> bool:
        id_ = unit(user)
        text = id_ if id_.__class__ is str else user_text(id_) or ""
        passes = remembered.get(text)
        if passes is not None:
            return passes
        digest = salted()
        try:
            digest.update(text.encode())
        except UnicodeEncodeError:
            digest.update(_bytes(text))
        number: int = first_64_bits(digest.digest())[0]
        if len(remembered) >= UNITS_REMEMBERED:
            remembered.clear()
        remembered[text] = passes = number % BUCKETS < limit
        return passes

    return within


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
