"""A process that cannot start with its settings says which one it is, in one log line, and exits with 2."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.local import ROOT

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("service", "setting", "value"),
    [
        ("monitor", "SLUICEWAY_PROMETHEUS_TOKEN", f"{SECRET} x"),
        ("monitor", "SLUICEWAY_ALERTMANAGER_TOKEN", f"{SECRET}\nx"),
        ("console", "SLUICEWAY_OIDC_CLIENT_SECRET", f"{SECRET}\u00e9"),
        ("console", "SLUICEWAY_SESSION_SECRET", " \n"),
        ("edge", "SLUICEWAY_REGION", "no region"),
        ("scheduler", "SLUICEWAY_NATS_CREDS", "{folder}/none.creds"),
        ("evaluator_publisher", "SLUICEWAY_LOG_LEVEL", SECRET),
    ],
)
def test_a_setting_is_named_and_its_value_is_not_shown(
    service: str, setting: str, value: str, tmp_path: Path
) -> None:
    environment = {**os.environ, setting: value.format(folder=tmp_path), "SLUICEWAY_HTTP_PORT": "0"}

    ended = subprocess.run(
        [sys.executable, "-m", f"services.{service}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 2
    *_, line = ended.stderr.decode().splitlines()
    assert json.loads(line)["message"].startswith(f"invalid setting {setting}: ")
    assert SECRET not in ended.stderr.decode()
    assert b"Traceback" not in ended.stderr
