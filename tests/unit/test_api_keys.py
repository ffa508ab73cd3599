"""API keys: recognised by what is stored of them, and nothing else ever is."""

from hypothesis import given
from hypothesis import strategies as st

from sluiceway import api_keys


def test_a_key_is_recognised_by_its_hash_alone() -> None:
    key, other = api_keys.mint(), api_keys.mint()
    stored = api_keys.hash_of(key)

    assert api_keys.matches(key, stored)
    assert not api_keys.matches(other, stored)
    assert not api_keys.matches(key, None)
    assert key not in stored


def test_its_public_part_stands_in_it() -> None:
    assert api_keys.key_id(api_keys.mint("bootstrap")) == "bootstrap"
    assert len(api_keys.key_id(api_keys.mint())) == 8


@given(st.text())
def test_whatever_somebody_shows_is_no_fault(text: str) -> None:
    assert api_keys.key_id(text) == "" or text.startswith(api_keys.PREFIX)


@given(st.text(max_size=20) | st.just("$argon2id$v=19$m=1,t=1,p=1$"))
def test_a_stored_text_that_is_no_hash_opens_nothing(text: str) -> None:
    assert not api_keys.matches("console-x-y", text or "x")


def test_text_that_no_encoding_knows_is_no_key() -> None:
    assert not api_keys.matches("\udc80", api_keys.hash_of("x"))
