"""A user, and how a condition finds a value in it. A malformed part of a user reads as missing."""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType
from typing import Any, final

from .values import user_text


@final
class User:
    """The user that a feature is evaluated for; the fields are those of Statsig's users.

    Nothing is checked or copied when a user is created, and nothing is converted when it is evaluated.
    """

    __slots__ = (
        "app_version",
        "country",
        "custom",
        "custom_ids",
        "email",
        "environment",
        "ip",
        "locale",
        "private_attributes",
        "user_agent",
        "user_id",
    )

    def __init__(
        self,
        user_id: str = "",
        email: str | None = None,
        country: str | None = None,
        custom: Mapping[str, Any] | None = None,
        *,
        ip: str | None = None,
        locale: str | None = None,
        app_version: str | None = None,
        user_agent: str | None = None,
        private_attributes: Mapping[str, Any] | None = None,
        custom_ids: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.user_id = user_id
        self.email = email
        self.country = country
        self.custom = custom
        self.ip = ip
        self.locale = locale
        self.app_version = app_version
        self.user_agent = user_agent
        self.private_attributes = private_attributes
        self.custom_ids = custom_ids
        self.environment = environment

    def __repr__(self) -> str:
        fields = {name: getattr(self, name) for name in self.__slots__}
        return f"User({', '.join(f'{k}={v!r}' for k, v in fields.items() if v)})"


#: Accepted as a user: `User`, or a mapping with the SDKs' names (`userID`, `customIDs`, …).
AnyUser = User | Mapping[str, Any]
#: Finds a value in a user.
Lookup = Callable[[AnyUser], object]

#: Attribute of `User` → the name in a mapping.
FIELD_NAMES = {
    "user_id": "userID",
    "email": "email",
    "ip": "ip",
    "country": "country",
    "locale": "locale",
    "app_version": "appVersion",
    "user_agent": "userAgent",
    "custom": "custom",
    "private_attributes": "privateAttributes",
    "custom_ids": "customIDs",
    "environment": "statsigEnvironment",
}
#: Lower-cased name of a field → the attribute of the user that is looked at first.
PRIORITY_FIELDS = {
    "userid": "user_id",
    "email": "email",
    "ip": "ip",
    "country": "country",
    "locale": "locale",
    "appversion": "app_version",
    "useragent": "user_agent",
}
#: Names that find an attribute of the user last, also if it is empty.
FALLBACK_FIELDS = frozenset({"user_id", "app_version", "user_agent"})
#: Returned if nothing was found; null can be found.
MISSING = object()


def user_field(field: str | None, process_fields: Mapping[str, Any] = MappingProxyType({})) -> Lookup:
    """Return what finds a field: top level, `custom`, the process's own, `privateAttributes`, in this order.

    A key with the value null is found, and ends the search; at the top level it does not.
    """
    if field is None:
        return lambda user: None
    lowered = field.lower()
    keys = (field,) if field == lowered else (field, lowered)
    find = _first_found(
        _in_part("custom", keys),
        lambda user: next((process_fields[key] for key in keys if key in process_fields), MISSING),
        _in_part("private_attributes", keys),
        _fallback(lowered),
    )
    if lowered in PRIORITY_FIELDS:
        return _unless_empty(_attribute(PRIORITY_FIELDS[lowered]), find)
    return find


def custom_field_test(
    field: str, passing_texts: frozenset[str] | None, test: Callable[[object], bool], find: Lookup
) -> Callable[[AnyUser], bool]:
    """Return what tests a field that is most probably in `custom`, spelled like this.

    Nearly every rule has such a condition, so this is the fast path. `passing_texts`, if given, are the
    lower-cased texts that pass; `find` finds the field anywhere else.
    """

    longest = max(map(len, passing_texts or ()), default=0)  # no text becomes shorter in lower case

    def matches(user: AnyUser) -> bool:
        custom = user.custom if user.__class__ is User else user.get("custom")  # type: ignore[union-attr]
        if custom.__class__ is dict and field in custom:
            value = custom[field]
            if passing_texts is not None and value.__class__ is str:
                return value in passing_texts or (len(value) <= longest and value.lower() in passing_texts)
            return test(value)
        return test(find(user))

    return matches


def environment_field(field: str | None, environment: str | None) -> Lookup:
    """Return what finds a field of the user's environment, else of the process's."""
    process_tier = environment if field is not None and field.lower() == "tier" else None
    find = _in_part("environment", () if field is None else (field,))

    def find_or_else(user: AnyUser) -> object:
        own = find(user)
        return process_tier if own is MISSING else own

    return find_or_else


def unit_id(id_type: str) -> Lookup:
    """Return what finds the id that percentages are counted by."""
    if id_type.lower() == "userid":
        return lambda user: (user.user_id if user.__class__ is User else user.get("userID")) or ""  # type: ignore[union-attr]
    find = _in_part("custom_ids", (id_type, id_type.lower()))

    def find_or_none(user: AnyUser) -> object:
        found = find(user)
        return None if found is MISSING else found

    return find_or_none


def _attribute(attribute: str) -> Lookup:
    name = FIELD_NAMES[attribute]
    of = attrgetter(attribute)
    return lambda user: of(user) if user.__class__ is User else user.get(name)  # type: ignore[union-attr]


def _in_part(attribute: str, keys: Sequence[str]) -> Lookup:
    """Return what finds the first of these keys in a part of the user; `MISSING` if it has none."""
    part = _attribute(attribute)

    def find(user: AnyUser) -> object:
        values = part(user)
        if values.__class__ is dict or isinstance(values, Mapping):
            for key in keys:
                if key in values:
                    return values[key]
        return MISSING

    return find


def _fallback(lowered: str) -> Lookup:
    if lowered not in FALLBACK_FIELDS:
        return lambda user: None
    find = _attribute(lowered)
    # An id that is missing is an empty one.
    return (lambda user: find(user) or "") if lowered == "user_id" else find


def _first_found(*finds: Lookup) -> Lookup:
    def find(user: AnyUser) -> object:
        for find_next in finds:
            value = find_next(user)
            if value is not MISSING:
                return value
        return None

    return find


def _unless_empty(first: Lookup, then: Lookup) -> Lookup:
    def find(user: AnyUser) -> object:
        value = first(user)
        return value if value and user_text(value) else then(user)

    return find
