"""An OpenFeature evaluation context → a user."""

from collections.abc import Mapping
from typing import Any

from sluiceway.evaluation.users import User

#: Attribute of the context → that of the user; anything else is one of its `custom` fields.
FIELDS = {
    "email": "email",
    "ip": "ip",
    "country": "country",
    "locale": "locale",
    "appVersion": "app_version",
    "userAgent": "user_agent",
}
PARTS = {"custom": "custom", "customIDs": "custom_ids", "privateAttributes": "private_attributes"}


def user_from_context(context: Mapping[str, Any]) -> User:
    """Return the user that a context describes; `targetingKey` is its id."""
    user = User(str(context.get("targetingKey") or ""))
    custom: dict[str, Any] = {}
    for name, value in context.items():
        if name in FIELDS and isinstance(value, str):
            setattr(user, FIELDS[name], value)
        elif name in PARTS and isinstance(value, Mapping):
            if name == "custom":
                custom.update(value)
            else:
                setattr(user, PARTS[name], value)
        elif name != "targetingKey":
            custom[name] = value
    user.custom = custom
    return user
