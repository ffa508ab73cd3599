"""A small OpenID Connect provider: it signs everybody in, with the claims and flaws that a test sets."""

import base64
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlencode

from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from sluiceway.http.server import health_server
from sluiceway.settings import ServiceSettings

CLIENT = "sluiceway"
SECRET = "the-clients-secret"


@cache
def _signing_keys() -> tuple[RSAKey, RSAKey]:
    """Return the key that is published, and another of its name; to make one takes 60 ms."""
    one, other = (RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}) for _ in range(2))
    return one, other


@dataclass
class FakeProvider:
    """An OpenID Connect provider; its fields apply to the next sign-in."""

    url: str = ""
    #: The end of the issuer's name after the URL: nothing or a slash.
    issuer_end: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    #: Claims to falsify: iss, aud, exp, nonce. None: leave the claim out.
    false_claims: dict[str, Any] = field(default_factory=dict)
    algorithm: str = "RS256"
    #: Sign with a key that is not published.
    is_forged: bool = False
    codes: dict[str, str] = field(default_factory=dict)
    #: Accept a code more than once.
    reuses_codes: bool = False

    def __post_init__(self) -> None:
        self._key, self._other = _signing_keys()

    @property
    def issuer(self) -> str:
        return self.url + self.issuer_end

    def pages(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._discovery),
                Route("/jwks", self._jwks),
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
            ]
        )

    async def _discovery(self, request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/jwks",
                "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
            }
        )

    async def _jwks(self, request: Request) -> Response:
        return JSONResponse({"keys": [self._key.as_dict(private=False)]})

    async def _authorize(self, request: Request) -> Response:
        query = request.query_params
        assert query["code_challenge_method"] == "S256"
        code = f"code-{len(self.codes)}"
        self.codes[code] = query["nonce"]
        parameters = {"code": code, "state": query["state"]}
        return RedirectResponse(f"{query['redirect_uri']}?{urlencode(parameters)}", 302)

    async def _token(self, request: Request) -> Response:
        form = await request.form()
        code = str(form["code"])
        nonce = self.codes.get(code) if self.reuses_codes else self.codes.pop(code, None)
        if nonce is None or not form.get("code_verifier"):
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "sub": "1", "iat": now, "exp": now + 300, "nonce": nonce}
        claims = {**claims, **self.claims, **self.false_claims}
        token = self._signed({name: value for name, value in claims.items() if value is not None})
        answer = {"access_token": "x", "token_type": "Bearer", "id_token": token, "expires_in": 300}
        return JSONResponse(answer)

    def _signed(self, claims: dict[str, Any]) -> str:
        header = {"alg": self.algorithm, "kid": "one"}
        if self.algorithm == "HS256 with the public key":
            signed = f"{_part({**header, 'alg': 'HS256'})}.{_part(claims)}"
            signature = hmac.digest(self._key.as_pem(private=False), signed.encode(), "sha256")
            return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
        if self.algorithm == "HS256":
            return jwt.encode(header, claims, OctKey.import_key(SECRET), algorithms=["HS256"])
        if self.algorithm == "none":
            return f"{_part(header)}.{_part(claims)}."
        return jwt.encode(header, claims, self._other if self.is_forged else self._key)


def _part(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


@asynccontextmanager
async def running_provider() -> AsyncIterator[FakeProvider]:
    """Run a provider until the block ends."""
    provider = FakeProvider()

    async def ready() -> dict[str, str]:
        return {}

    async with health_server(ServiceSettings(), ready, provider.pages()) as url:
        provider.url = url
        yield provider
