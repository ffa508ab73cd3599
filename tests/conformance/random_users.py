"""Random users that fit a rule set: most of their values are taken from its targets."""

import math
from random import Random
from typing import Any

from tests.conformance import random_values
from tests.conformance.random_conditions import Conditions

TOP_LEVEL = ["email", "ip", "country", "locale", "appVersion", "userAgent"]
ALIASES = {"user_id": "userID", "app_version": "appVersion", "user_agent": "userAgent"}


def user(rng: Random, hints: Conditions) -> dict[str, Any]:
    """Draw a user with the fields of the SDK's user object."""
    drawn: dict[str, Any] = {}
    names = {name.lower(): name for name in ("userID", *TOP_LEVEL)} | ALIASES
    for field, tried in hints.fields.items():
        name = names.get(field.lower())
        if name is not None and rng.random() < 0.7:
            drawn[name] = _text_from(rng, tried)
    if "userID" not in drawn and rng.random() < 0.85:
        drawn["userID"] = _user_id(rng, hints)
    for name in TOP_LEVEL:
        if name not in drawn and rng.random() < 0.3:
            drawn[name] = rng.choice((None, "", random_values.text(rng)))
    for name, share in (("custom", 1.0), ("privateAttributes", 0.4)):
        if rng.random() < share:
            drawn[name] = _attributes(rng, hints, share * 0.75)
    drawn["custom"]["os_name"] = _text_from(rng, hints.fields.get("os_name", []))
    if rng.random() < 0.7:
        drawn["customIDs"] = _custom_ids(rng, hints)
    if rng.random() < 0.6:
        drawn["statsigEnvironment"] = {
            name: _text_from(rng, hints.tiers.get(name, []))
            for name in ("tier", "Tier", "region", "")
            if rng.random() < 0.6
        }
    return drawn


def _attributes(rng: Random, hints: Conditions, share: float) -> dict[str, Any]:
    attributes = {}
    for field, tried in hints.fields.items():
        if rng.random() < share:
            attributes[rng.choice((field, field, field, field.lower(), field.upper()))] = _value_from(
                rng, tried
            )
    return attributes


def _value_from(rng: Random, tried: list[Any]) -> Any:
    draw = rng.random()
    if draw < 0.75 and tried:
        return rng.choice(tried)
    if draw < 0.85 and tried:
        return random_values.varied(rng, rng.choice(tried))
    return (
        random_values.anything(rng)
        if draw < 0.99
        else rng.choice((math.nan, math.inf, [math.nan], 1e19, -1e19))
    )


def _text_from(rng: Random, tried: list[Any]) -> str:
    texts = [value for value in tried if isinstance(value, str)]
    return rng.choice(texts) if texts and rng.random() < 0.8 else random_values.text(rng)


def _user_id(rng: Random, hints: Conditions) -> str:
    tried = [*hints.units["userID"], *hints.units["userid"], *hints.units["USERID"]]
    return _text_from(rng, tried) if rng.random() < 0.5 else f"u{rng.randrange(1000)}"


def _custom_ids(rng: Random, hints: Conditions) -> dict[str, str | int | float]:
    drawn: dict[str, str | int | float] = {}
    for name in ("companyID", "companyid", "OrgId", "orgid", "stableID", "userID", ""):
        if rng.random() < 0.5:
            value = _value_from(rng, hints.units.get(name, []))
            fits = isinstance(value, str | int | float) and not isinstance(value, bool)
            drawn[name] = value if fits else f"u{rng.randrange(60)}"
    return drawn
