"""The example of an OpenID Connect provider's groups."""

from pathlib import Path

from services.console.oidc import identity_provider
from services.console.settings import Settings
from sluiceway.contracts.identity import Role
from sluiceway.contracts.persons import Account

ROLES = Path(__file__).parents[3] / "deploy" / "examples" / "roles.yaml"


def test_the_example_of_groups_is_valid() -> None:
    provider = identity_provider(
        Settings(
            oidc_issuer="https://id.example",
            oidc_client_id="sluiceway",
            oidc_roles=ROLES,
            public_url="https://releases.example",
        )
    )

    assert provider
    account = Account(issuer="https://id.example", subject="1")
    identity = provider.identity("ada", account, ("sre", "unknown"))
    assert identity
    assert [grant.role for grant in identity.grants] == [Role.APPROVER, Role.OPERATOR]
    assert provider.identity("eve", account, ("unknown",)) is None
    elsewhere = Account(issuer="https://other.example", subject="1")
    assert provider.identity("ada", elsewhere, ("sre",)) is None
