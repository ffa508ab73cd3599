"""The examples of proxies agree with the edge that stands behind them."""

import re

import yaml

from services.edge.ofrep_events import KEEP_ALIVE_SECONDS
from services.edge.statsig import HOLD_SECONDS
from tests.support.documents import ROOT

PROXIES = ROOT / "deploy" / "proxies"


def test_nginx_waits_longer_than_an_edge_is_silent() -> None:
    text = (PROXIES / "nginx.conf").read_text()
    timeout = re.search(r"proxy_read_timeout (\d+)s;", text)

    assert timeout
    assert int(timeout[1]) > max(HOLD_SECONDS, KEEP_ALIVE_SECONDS)
    assert f"waits for {HOLD_SECONDS:g} s" in text
    assert f"silent for up to {KEEP_ALIVE_SECONDS:g} s" in text


def test_the_ingress_serves_the_path_of_the_public_url() -> None:
    text = (PROXIES / "ingress.yaml").read_text()
    (rule,) = yaml.safe_load(text)["spec"]["rules"]
    (path,) = rule["http"]["paths"]

    assert f"SLUICEWAY_PUBLIC_URL=https://{rule['host']}{path['path']}" in text
