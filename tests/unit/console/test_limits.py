"""What a date in a request means."""

from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from services.console.limits import Moment

MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)


def test_a_time_without_a_zone_is_in_utc() -> None:
    assert MOMENT.validate_python("2026-11-24T08:00:00") == datetime(2026, 11, 24, 8, tzinfo=UTC)
    assert MOMENT.validate_python("2026-11-24") == datetime(2026, 11, 24, tzinfo=UTC)
    assert MOMENT.validate_python("2026-11-24T08:00:00+02:00") == datetime(2026, 11, 24, 6, tzinfo=UTC)


@pytest.mark.parametrize("text", ["0001-01-01", "1969-12-31", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_no_log_has_is_invalid(text: str) -> None:
    with pytest.raises(ValidationError, match="invalid year"):
        MOMENT.validate_python(text)
