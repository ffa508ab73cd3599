"""What the webhook makes of a group of alerts."""

import json

import pytest

from services.monitor.alertmanager import parse_alert, parse_message


@pytest.mark.parametrize("levels", [200, 900, 1_500, 100_000])
@pytest.mark.parametrize("field", ["startsAt", "labels", "unknown"])
def test_only_the_alert_that_is_too_deep_is_rejected(levels: int, field: str) -> None:
    deep = f'{{"labels": {{"alertname": "a"}}, "{field}": {"[" * levels}{"]" * levels}}}'
    good = json.dumps({"status": "firing", "labels": {"alertname": "Errors", "gate": "checkout"}})
    body = f'{{"version": "4", "alerts": [{good}, {deep}, {good}], "groupLabels": {{}}}}'

    message = parse_message(body.encode())

    assert [parse_alert(message.alerts[n]).name for n in (0, 2)] == ["Errors", "Errors"]
    with pytest.raises(ValueError, match="nested more than 120 levels deep"):
        parse_alert(message.alerts[1])
