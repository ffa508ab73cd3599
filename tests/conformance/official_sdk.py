"""The real SDK, started in this process on one payload; it cannot reach the internet."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Self

from statsig_python_core import (
    DynamicConfigEvaluationOptions,
    FeatureGateEvaluationOptions,
    Statsig,
    StatsigOptions,
    StatsigUser,
)

from tests.conformance.spec_server import SpecServer

User = dict[str, Any]

#: How often the SDK polls, in ms: long after a comparison is over.
POLL_MS = 3_600_000

#: Field of a user → parameter of `StatsigUser`.
PARAMETERS = {
    "userID": "user_id",
    "email": "email",
    "ip": "ip",
    "country": "country",
    "locale": "locale",
    "appVersion": "app_version",
    "userAgent": "user_agent",
    "custom": "custom",
    "privateAttributes": "private_attributes",
    "customIDs": "custom_ids",
    "statsigEnvironment": "statsig_environment",
}


class OfficialSdk:
    """Has the methods of what `tests.conformance.load` returns; usable as a context manager only."""

    def __init__(
        self,
        specs_json: bytes,
        *,
        environment: str | None = None,
        id_lists: Mapping[str, Sequence[str]] | None = None,
        global_custom_fields: dict[str, Any] | None = None,
    ) -> None:
        self._server = SpecServer(specs_json, id_lists or {})
        self._environment = environment
        self._with_id_lists = id_lists is not None
        self._global_custom_fields = global_custom_fields
        self._stack = ExitStack()
        self._latest: tuple[User, StatsigUser] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            server = stack.enter_context(self._server)
            stack.enter_context(_blocked_https(server.url))
            self._sdk = Statsig("secret-conformance", self._options(server.url))
            stack.callback(lambda: self._sdk.shutdown().wait())
            details = self._sdk.initialize_with_details().result()
            if not details.is_config_spec_ready:
                raise RuntimeError(f"the real SDK refused the payload: {details.failure_details}")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def gate(self, user: User, name: str) -> tuple[bool, str]:
        gate = self._sdk.get_feature_gate(self._user(user), name, NO_GATE_EXPOSURE)
        return gate.value, gate.rule_id

    def config(self, user: User, name: str) -> tuple[Any, str]:
        config = self._sdk.get_dynamic_config(self._user(user), name, NO_CONFIG_EXPOSURE)
        return config.value, config.rule_id

    def _user(self, user: User) -> StatsigUser:
        if self._latest is None or self._latest[0] is not user:
            arguments = {PARAMETERS[field]: value for field, value in user.items()}
            self._latest = user, StatsigUser(**arguments)
        return self._latest[1]

    def _options(self, url: str) -> StatsigOptions:
        return StatsigOptions(
            specs_url=f"{url}/specs",
            specs_sync_interval_ms=POLL_MS,
            id_lists_url=f"{url}/manifest",
            id_lists_sync_interval_ms=POLL_MS,
            log_event_url=f"{url}/log",
            enable_id_lists=self._with_id_lists,
            environment=self._environment,
            global_custom_fields=self._global_custom_fields,
            disable_all_logging=True,
            disable_country_lookup=True,
            disable_disk_access=True,
            output_log_level="none",
        )


NO_GATE_EXPOSURE = FeatureGateEvaluationOptions(disable_exposure_logging=True)
NO_CONFIG_EXPOSURE = DynamicConfigEvaluationOptions(disable_exposure_logging=True)


@contextmanager
def _blocked_https(proxy: str) -> Iterator[None]:
    """Send HTTPS to a proxy that refuses it: the SDK reports errors to an address that no option changes."""
    wanted = {"HTTPS_PROXY": proxy, "https_proxy": proxy, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
