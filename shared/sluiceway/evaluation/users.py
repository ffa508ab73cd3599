"""A user, and what a condition looks at in it. A malformed part reads as missing."""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType
from typing import Any, final

from .values import user_text


@final
class User:
    """Whom a feature is evaluated for; the fields are those of Statsig's users.

    Nothing is checked or copied when it is made, and nothing is converted when it is evaluated.
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


#: What is accepted as a user: `User`, or a mapping with the SDKs' names (`userID`, `customIDs`, …).
AnyUser = User | Mapping[str, Any]
Lookup = Callable[[AnyUser], object]

#: Attribute of `User` → the name in a mapping.
NAMES = {
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
#: Lower-cased spelling of a field → the attribute that it finds before everything else.
FIRST = {
    "userid": "user_id",
    "email": "email",
    "ip": "ip",
    "country": "country",
    "locale": "locale",
    "appversion": "app_version",
    "useragent": "user_agent",
}
#: Spellings that find an attribute only after everything else, and even where it is empty.
LAST = frozenset({"user_id", "app_version", "user_agent"})
#: Marks what was not found; null can be found.
MISSING = object()


def user_field(field: str | None, process_fields: Mapping[str, Any] = MappingProxyType({})) -> Lookup:
    """Return what finds a field: top level, `custom`, the process's own, `privateAttributes`, in this order.

    But at the top level, a key that is there with the value null is found, and ends the search.
    """
    if field is None:
        return lambda user: None
    lowered = field.lower()
    keys = (field,) if field == lowered else (field, lowered)
    find = _first_of(
        _in_part("custom", keys),
        lambda user: next((process_fields[key] for key in keys if key in process_fields), MISSING),
        _in_part("private_attributes", keys),
        _late(lowered),
    )
    if lowered in FIRST:
        return _unless_empty(_attribute(FIRST[lowered]), find)
    return find


def in_custom(
    field: str, keys: frozenset[str] | None, test: Callable[[object], bool], find: Lookup
) -> Callable[[AnyUser], bool]:
    """Return what tests a field that is most probably in `custom` as it is written.

    That is the condition of nearly every rule, and thus without a detour: `keys`, where
    given, are the lower-cased texts that pass; `find` finds the field wherever else it is.
    """

    def matches(user: AnyUser) -> bool:
        custom = user.custom if user.__class__ is User else user.get("custom")  # type: ignore[union-attr]
        if custom.__class__ is dict and field in custom:
            value = custom[field]
            if keys is not None and value.__class__ is str:
                return value in keys or value.lower() in keys
            return test(value)
        return test(find(user))

    return matches


def environment_field(field: str | None, environment: str | None) -> Lookup:
    """Return what finds a field of the user's environment, else of this process's."""
    of_process = environment if field is not None and field.lower() == "tier" else None
    find = _in_part("environment", () if field is None else (field,))

    def find_or_else(user: AnyUser) -> object:
        own = find(user)
        return of_process if own is MISSING else own

    return find_or_else


def unit_id(id_type: str) -> Lookup:
    """Return what finds the id that percentages are dealt by."""
    if id_type.lower() == "userid":
        return lambda user: (user.user_id if user.__class__ is User else user.get("userID")) or ""  # type: ignore[union-attr]
    find = _in_part("custom_ids", (id_type, id_type.lower()))

    def find_or_none(user: AnyUser) -> object:
        found = find(user)
        return None if found is MISSING else found

    return find_or_none


def _attribute(attribute: str) -> Lookup:
    name = NAMES[attribute]
    of = attrgetter(attribute)
    return lambda user: of(user) if user.__class__ is User else user.get(name)  # type: ignore[union-attr]


def _in_part(attribute: str, keys: Sequence[str]) -> Lookup:
    """Return what finds the first of these keys in a part of the user; `MISSING` without any."""
    part = _attribute(attribute)

    def find(user: AnyUser) -> object:
        values = part(user)
        if values.__class__ is dict or isinstance(values, Mapping):
            for key in keys:
                if key in values:
                    return values[key]
        return MISSING

    return find


def _late(lowered: str) -> Lookup:
    if lowered not in LAST:
        return lambda user: None
    find = _attribute(lowered)
    # An id that is missing is an empty one.
    return (lambda user: find(user) or "") if lowered == "user_id" else find


def _first_of(*finds: Lookup) -> Lookup:
    def find(user: AnyUser) -> object:
        for one in finds:
            value = one(user)
            if value is not MISSING:
                return value
        return None

    return find


def _unless_empty(first: Lookup, then: Lookup) -> Lookup:
    def find(user: AnyUser) -> object:
        value = first(user)
        return value if value and user_text(value) else then(user)

    return find
