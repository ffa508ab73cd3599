"""Who is checked, and against what."""

from enum import StrEnum
from typing import Any, NamedTuple


class Workload(StrEnum):
    """A feature that every library holds under this name."""

    #: a gate, on for everyone
    ON = "on"
    #: a gate: `environment` is production and `region` is one of `REGIONS`
    REGION = "region"
    #: the same for half of the users
    ROLLOUT = "rollout"
    #: five rules about `plan`; the fifth matches
    CONFIG = "config"


class Person(NamedTuple):
    """The attributes of one user."""

    id: str
    email: str
    country: str
    environment: str
    region: str
    plan: str


ENVIRONMENT = "production"
REGIONS = ["eu-west-1", "eu-central-1", "us-east-1", "us-west-2", "ap-south-1"]
PLANS = ["free", "basic", "team", "business", "enterprise"]
#: The value of `config` for each plan.
VALUES: list[dict[str, Any]] = [
    {"plan": plan, "limit": 100 * n, "labels": ["a", "b"], "burst": True} for n, plan in enumerate(PLANS)
]
#: What every library holds besides, like the gate `region`.
OTHERS = [f"other_{n}" for n in range(1_000)]

#: Everybody here reaches the last rule; the stranger after them is in no listed region.
PEOPLE = [
    Person(f"user-{n}", f"user-{n}@example.com", "DE", ENVIRONMENT, REGIONS[n % len(REGIONS)], "enterprise")
    for n in range(100)
]
STRANGER = len(PEOPLE)
PEOPLE.append(Person("stranger", "stranger@example.com", "DE", ENVIRONMENT, "sa-east-1", "enterprise"))
