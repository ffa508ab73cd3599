"""What a condition looks at in a user: a mapping with the SDKs' fields. A malformed one reads as missing."""

from collections.abc import Callable, Mapping
from typing import Any

from .values import user_text

User = Mapping[str, Any]
Lookup = Callable[[User], object]

#: Lower-cased spelling → the top-level field.
TOP_LEVEL = {
    "userid": "userID",
    "email": "email",
    "ip": "ip",
    "country": "country",
    "locale": "locale",
    "appversion": "appVersion",
    "useragent": "userAgent",
}
#: Spellings that find a top-level field only after everything else, and even where it is empty.
LATE = {"user_id": "userID", "app_version": "appVersion", "user_agent": "userAgent"}


def user_field(field: str | None) -> Lookup:
    """Return what finds a field: top level, `custom`, `privateAttributes`, in this order.

    In the latter two a key that is there with the value null is found, and ends the search.
    """
    if field is None:
        return lambda user: None
    lowered = field.lower()
    first, last = TOP_LEVEL.get(lowered), LATE.get(lowered)
    keys = (field,) if field == lowered else (field, lowered)

    def find(user: User) -> object:
        if first and (value := user.get(first)) and user_text(value):
            return value
        for part in ("custom", "privateAttributes"):
            values = user.get(part)
            if isinstance(values, Mapping):
                for key in keys:
                    if key in values:
                        return values[key]
        return user.get(last, "" if last == "userID" else None) if last else None

    return find


def environment_field(field: str | None, environment: str | None) -> Lookup:
    """Return what finds a field of the user's environment, else of this process's."""
    of_process = environment if field is not None and field.lower() == "tier" else None

    def find(user: User) -> object:
        own = user.get("statsigEnvironment")
        if isinstance(own, Mapping) and field in own:
            return own[field]
        return of_process

    return find


def unit_id(id_type: str) -> Lookup:
    """Return what finds the id that percentages are dealt by."""
    if id_type.lower() == "userid":
        return lambda user: user.get("userID") or ""
    keys = (id_type, id_type.lower())

    def find(user: User) -> object:
        ids = user.get("customIDs")
        if isinstance(ids, Mapping):
            for key in keys:
                if key in ids:
                    return ids[key]
        return None

    return find
