"""API keys: recognised by what is stored of them, and nothing else ever is."""

from hypothesis import given
from hypothesis import strategies as st

from sluiceway import console_keys


def test_a_key_is_recognised_by_its_hash_alone() -> None:
    key, other = console_keys.mint(), console_keys.mint()
    stored = console_keys.hash_of(key)

    assert console_keys.matches(key, stored)
    assert not console_keys.matches(other, stored)
    assert not console_keys.matches(key, None)
    assert key not in stored


def test_a_hash_costs_a_guesser_what_owasp_recommends() -> None:
    assert console_keys.hash_of("any").startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_its_public_part_stands_in_it() -> None:
    assert console_keys.key_id(console_keys.mint("bootstrap")) == "bootstrap"
    assert len(console_keys.key_id(console_keys.mint())) == 8


@given(st.text())
def test_any_text_may_be_checked_as_a_key(text: str) -> None:
    assert console_keys.key_id(text) == "" or text.startswith(console_keys.PREFIX)


@given(st.text(max_size=20) | st.just("$argon2id$v=19$m=1,t=1,p=1$"))
def test_an_invalid_hash_matches_no_key(text: str) -> None:
    assert not console_keys.matches("console-x-y", text or "x")


def test_text_that_cannot_be_encoded_matches_no_key() -> None:
    assert not console_keys.matches("\udc80", console_keys.hash_of("x"))
