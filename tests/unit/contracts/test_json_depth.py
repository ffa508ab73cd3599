"""How deep a value is, and what that costs."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.contracts.json_depth import DEPTH_MAX, depth_of, is_too_deep, without_deep_members

VALUES = st.recursive(
    st.none() | st.integers() | st.text(st.sampled_from('[]{}"\\a')),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=12,
)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@given(VALUES)
def test_the_depth_of_a_text_is_that_of_its_value(value: Any) -> None:
    depth, text = depth_of(value), json.dumps(value).encode()

    assert is_too_deep(text, depth - 1) is (depth > 0)
    assert not is_too_deep(text, depth)


@pytest.mark.parametrize(
    "text", [b"[" * 1_000_000, b'{"a":' * 200_000, b'["' + b"\\" * 100_000, b"]" * 100_000]
)
def test_a_text_that_is_no_json_is_no_error(text: bytes) -> None:
    assert is_too_deep(text) is text.startswith((b"[[", b'{"a"'))


def test_only_the_members_that_are_too_deep_are_left_out() -> None:
    group = {"alerts": [{"a": 1}, {"x": nested(DEPTH_MAX)}, {"b": "]]"}], "labels": {"y": nested(DEPTH_MAX)}}

    kept = without_deep_members(json.dumps(group).encode(), b"null")

    assert json.loads(kept) == {"alerts": [{"a": 1}, None, {"b": "]]"}], "labels": {"y": None}}
