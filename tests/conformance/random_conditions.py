"""Random conditions, and values of users that could match them."""

from collections import defaultdict
from random import Random
from typing import Any

from tests.conformance import random_targets, random_values

#: Names of user fields: top-level ones in several spellings, and custom ones.
FIELDS = [
    "userID", "userid", "user_id", "email", "Email", "country", "locale", "ip", "appVersion", "app_version",
    "APP_VERSION", "userAgent", "user_agent", "plan", "Region", "region", "level", "tags", "meta", "born",
    "é", "",
]  # fmt: skip

ID_TYPES = ["userID", "userID", "userid", "USERID", "companyID", "companyid", "OrgId", "stableID", ""]

#: Weight of each type among those that need no other spec.
PLAIN_TYPES = {
    "user_field": 50,
    "unit_id": 9,
    "environment_field": 8,
    "user_bucket": 7,
    "current_time": 6,
    "target_app": 5,
    "public": 2,
    "ip_based": 3,
    "ua_based": 3,
    "javascript": 1,
    "multi_pass_gate": 1,
    "Public": 1,
}

GROUPS = ["control", "Control", "test", "", "ß"]


class Conditions:
    """Draws conditions, and collects values for users that could match them.

    `fields` by user field, `units` by id type, `tiers` by environment field, `apps` for the app id.
    """

    def __init__(self, rng: Random, *, dialect: bool) -> None:
        self._rng = rng
        self._dialect = dialect
        self.id_lists = {name: _members(rng) for name in ("vips", "Ünï list", "empty")}
        self.id_lists["empty"] = []
        self.fields: defaultdict[str, list[Any]] = defaultdict(list)
        self.units: defaultdict[str, list[Any]] = defaultdict(list)
        self.tiers: defaultdict[str, list[Any]] = defaultdict(list)
        self.apps: list[Any] = []

    def plain(self) -> dict[str, Any]:
        """Draw a condition that needs no other spec."""
        (kind,) = self._rng.choices(list(PLAIN_TYPES), list(PLAIN_TYPES.values()))
        operator = self._operator()
        target = random_targets.target(self._rng, operator, self.id_lists, dialect=self._dialect)
        condition = self._condition(kind, operator, target.value)
        self._place(condition, kind, target.hints)
        return condition

    def nested(self, kind: str, spec: str) -> dict[str, Any]:
        """Draw a condition of type `kind` on the value of `spec`."""
        if kind == "experiment_group":
            operator = self._rng.choice(
                ("any", "none", "eq", "neq", "str_contains_any", "any_case_sensitive")
            )
            groups: Any = (
                self._rng.choice((*GROUPS, None)) if operator in random_targets.EQUALITY else GROUPS[1:3]
            )
            return self._condition(kind, operator, groups) | {"field": spec}
        named = spec if self._rng.random() < 0.97 else random_values.scalar(self._rng)
        named = "no such gate" if isinstance(named, str) and named != spec else named
        return self._condition(kind, self._rng.choice((None, "any", "nonsense")), named)

    def _operator(self) -> str | None:
        return self._rng.choice(random_targets.KNOWN if self._rng.random() < 0.97 else random_targets.UNKNOWN)

    def _condition(self, kind: str, operator: str | None, target: Any) -> dict[str, Any]:
        condition = {
            "type": kind,
            "idType": self._rng.choice(ID_TYPES),
            "operator": operator,
            "targetValue": target,
        }
        for optional in ("operator", "targetValue"):
            if condition[optional] is None and self._rng.random() < 0.5:
                del condition[optional]
        return condition

    def _place(self, condition: dict[str, Any], kind: str, hints: list[Any]) -> None:
        """Complete `condition`, and file its hints by where users have such values."""
        rng = self._rng
        if kind in ("user_field", "ip_based"):
            field = rng.choice(FIELDS) if rng.random() < 0.98 else None
            condition["field"] = field
            self.fields[field or ""] += hints
        elif kind == "ua_based":
            condition["field"] = "os_name"
            self.fields["os_name"] += [hint for hint in hints if isinstance(hint, str)]
        elif kind == "unit_id":
            self.units[condition["idType"]] += hints
        elif kind == "environment_field":
            condition["field"] = rng.choice(("tier", "tier", "Tier", "region", "", None))
            self.tiers[condition["field"] or ""] += [hint for hint in hints if isinstance(hint, str)]
        elif kind == "target_app":
            self.apps += hints
        elif kind == "user_bucket":
            condition["additionalValues"] = rng.choice(
                (None, {}, {"salt": ""}, {"salt": "s"}, {"other": "x"})
            )
            if rng.random() < 0.6:
                condition["targetValue"] = self._bucket_target(condition.get("operator"))

    def _bucket_target(self, operator: str | None) -> Any:
        if operator in random_targets.NUMERIC:
            return self._rng.choice((0, 1, 250, 500, "500", 750.5, 999, 1000))
        if operator in random_targets.PART:
            return self._rng.choice((["1", "2"], ["99"], [5]))
        if operator in random_targets.MEMBER:
            return [str(bucket) for bucket in range(0, 1000, 3)]
        return random_targets.target(self._rng, operator, self.id_lists, dialect=False).value


def _members(rng: Random) -> list[str]:
    return [
        *(f"u{number}" for number in range(0, 40, 3)),
        random_values.text(rng),
        random_values.number_text(rng),
        "5",
        "",
    ]
