"""Sign in through an OpenID Connect provider, whose groups become grants.

The authorization code flow with PKCE, state and nonce; Authlib verifies the ID token. The provider is
not contacted before somebody signs in with it, so that its outage does not affect other users.

Who somebody is: issuer and subject, compared exactly. The name is shown only.

Sources: https://openid.net/specs/openid-connect-core-1_0.html,
https://openid.net/specs/openid-connect-discovery-1_0.html, RFC 7636, RFC 9207.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.starlette_client import OAuth, StarletteOAuth2App
from fastapi import HTTPException, Request
from joserfc.errors import JoseError
from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response

from sluiceway.contracts.identity import CONSOLE, Grant, Identity, is_reserved
from sluiceway.contracts.persons import Account, canonical_name, has_invisible_characters
from sluiceway.contracts.validation_errors import describe_errors
from sluiceway.errors import Misconfigured
from sluiceway.yaml_documents import InvalidYaml, load_yaml

from .settings import Settings

log = logging.getLogger(__name__)

CALLBACK = "/sign-in/callback"
DISCOVERY = "/.well-known/openid-configuration"
TIMEOUT_SECONDS = 5.0
GROUPS_MAX = 200
#: Signatures that only the provider can make; `none` and shared secrets are refused.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
SIGNING_ALGORITHMS = "id_token_signing_alg_values_supported"
_GRANTS = TypeAdapter(dict[str, tuple[Grant, ...]])
NAME_LENGTH_MAX = 200


class SignedIn(NamedTuple):
    """A user whom the provider has signed in, with the groups that have a role here."""

    account: Account
    name: str
    groups: tuple[str, ...]


class IdentityProvider:
    """An OpenID Connect provider, and what its groups are granted here."""

    def __init__(self, settings: Settings, roles: Mapping[str, tuple[Grant, ...]]) -> None:
        assert settings.oidc_issuer
        assert settings.public_url
        secret = settings.oidc_client_secret
        self.host = urlsplit(settings.oidc_issuer).netloc
        self._issuer = settings.oidc_issuer
        self._settings = settings
        self._roles = roles
        # Not taken from the request: a forged Host header must not send codes to another site.
        self._redirect = settings.public_url + CALLBACK
        registry = OAuth()
        registry.register(
            "provider",
            client_id=settings.oidc_client_id,
            client_secret=secret.get_secret_value() if secret else None,
            server_metadata_url=self._issuer.rstrip("/") + DISCOVERY,
            client_kwargs={
                "scope": settings.oidc_scopes,
                "code_challenge_method": "S256",
                "timeout": TIMEOUT_SECONDS,
            },
        )
        client = registry.create_client("provider")  # type: ignore[no-untyped-call]
        assert isinstance(client, StarletteOAuth2App)
        self._client = client

    async def redirect(self, request: Request) -> Response:
        """Return a redirect to the provider's sign-in page; 503 if the provider is unreachable."""
        try:
            await self._checked_metadata()
            response: Response = await self._client.authorize_redirect(request, self._redirect)
        except (httpx2.HTTPError, OAuthError, ValueError, KeyError) as error:
            raise self._unreachable(error) from error
        return response

    async def complete_sign_in(self, request: Request) -> SignedIn:
        """Return the user who comes back from the provider.

        401 if the sign-in is not valid, 403 if the user has no role here.
        """
        if request.query_params.get("iss", self._issuer) != self._issuer:
            raise self._refused("it was signed in by another issuer")
        try:
            metadata = await self._checked_metadata()
            self._refuse_weak_signatures(metadata)
            exchange = self._client.authorize_access_token(  # type: ignore[no-untyped-call]
                request, claims_options=self._required_claims()
            )
            token = await exchange
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from error
        except (OAuthError, JoseError, ValueError, KeyError) as error:
            # The message may quote the token: the log gets the kind of error only.
            raise self._refused(type(error).__name__) from error
        return self._signed_in(dict(token.get("userinfo") or {}))

    def identity(self, name: str, account: Account, groups: tuple[str, ...]) -> Identity | None:
        """Return a signed-in user with the current grants of the groups; None if there are no grants.

        An account of another issuer than the configured one has none.
        """
        grants = tuple(grant for group in groups for grant in self._roles.get(group, ()))
        if not grants or account.issuer != self._issuer:
            return None
        return Identity(name=name, groups=groups, grants=grants, vouched_by=CONSOLE, account=account)

    async def _checked_metadata(self) -> dict[str, Any]:
        """Return the provider's metadata; 503 if they are those of another issuer."""
        metadata: dict[str, Any] = await self._client.load_server_metadata()
        if metadata.get("issuer") != self._issuer:
            log.error(
                "the issuer of %s is %r, not %r: set SLUICEWAY_OIDC_ISSUER to exactly that",
                self.host,
                metadata.get("issuer"),
                self._issuer,
            )
            raise HTTPException(503, f"{self.host} has another issuer than configured; ask an admin")
        return metadata

    def _refuse_weak_signatures(self, metadata: dict[str, Any]) -> None:
        """Accept the algorithms that the provider offers, except for those that prove nothing."""
        offered = metadata.get(SIGNING_ALGORITHMS) or ["RS256"]
        metadata[SIGNING_ALGORITHMS] = [name for name in offered if name in ALGORITHMS]

    def _required_claims(self) -> dict[str, Any]:
        return {
            "iss": {"essential": True, "value": self._issuer},
            "aud": {"essential": True, "value": self._settings.oidc_client_id},
            "exp": {"essential": True},
        }

    def _signed_in(self, claims: dict[str, Any]) -> SignedIn:
        name = self._name(claims)
        account = self._account(claims)
        claim = claims.get(self._settings.oidc_groups_claim)
        groups = [group for group in claim if isinstance(group, str)] if isinstance(claim, list) else []
        known = tuple(group for group in groups[:GROUPS_MAX] if group in self._roles)
        if self.identity(name, account, known) is None:
            raise HTTPException(403, f"none of the groups of {name} has a role here; ask an admin for one")
        return SignedIn(account, name, known)

    def _name(self, claims: dict[str, Any]) -> str:
        claim = self._settings.oidc_name_claim
        name = claims.get(claim)
        if not isinstance(name, str) or not _is_usable(name):
            raise HTTPException(403, f"{self.host} sent no usable claim {claim!r} for you; ask its admin")
        if claim == "email" and claims.get("email_verified") is not True:
            raise HTTPException(403, f"{self.host} has not verified your email; verify it there first")
        return name

    def _account(self, claims: dict[str, Any]) -> Account:
        """Return the account; its e-mail counts only if the provider has verified it."""
        email = claims.get("email") if claims.get("email_verified") is True else None
        try:
            return Account(issuer=self._issuer, subject=claims["sub"], email=email or None)
        except (ValidationError, KeyError) as error:
            raise HTTPException(
                403, f"{self.host} sent no usable claims 'sub' and 'email' for you"
            ) from error

    def _refused(self, why: str) -> HTTPException:
        log.warning("a sign-in through %s was refused: %s", self.host, why)
        return HTTPException(401, f"{self.host} did not sign you in; try again")

    def _unreachable(self, error: Exception) -> HTTPException:
        log.warning("identity provider %s is unreachable: %s", self.host, type(error).__name__)
        return HTTPException(503, f"{self.host} does not answer; sign in with a key, or try again")


def identity_provider(settings: Settings) -> IdentityProvider | None:
    """Return the provider that is configured; None if there is none.

    `Misconfigured` if a setting that it needs is missing, or if the roles cannot be read.
    """
    if settings.oidc_issuer is None:
        return None
    needed = {
        "SLUICEWAY_OIDC_CLIENT_ID": settings.oidc_client_id,
        "SLUICEWAY_OIDC_ROLES": settings.oidc_roles,
        "SLUICEWAY_PUBLIC_URL": settings.public_url,
    }
    if missing := [name for name, value in needed.items() if value is None]:
        raise Misconfigured(f"SLUICEWAY_OIDC_ISSUER needs {' and '.join(missing)} as well")
    assert settings.oidc_roles
    return IdentityProvider(settings, _read_roles(settings.oidc_roles))


def _is_usable(name: str) -> bool:
    """Return whether a name can be shown as somebody's: visible, and not that of a service."""
    is_visible = bool(canonical_name(name)) and not has_invisible_characters(name)
    return is_visible and len(name) <= NAME_LENGTH_MAX and not is_reserved(name)


def _read_roles(file: Path) -> dict[str, tuple[Grant, ...]]:
    try:
        return _GRANTS.validate_python(load_yaml(file.read_text("utf-8")) or {})
    except ValidationError as error:
        raise Misconfigured(
            f"{file}: {describe_errors(error)}; expected group: [{{role: viewer}}]"
        ) from error
    except (OSError, UnicodeDecodeError, InvalidYaml) as error:
        raise Misconfigured(f"SLUICEWAY_OIDC_ROLES: {file} cannot be read: {error}") from error
