"""When two records are one person."""

import pytest

from sluiceway.contracts.persons import (
    Account,
    Person,
    canonical_name,
    has_invisible_characters,
    same_persons,
)

ISSUER = "https://id.example/"


def an_account(subject: str = "1", email: str | None = None, issuer: str = ISSUER) -> Account:
    return Account(issuer=issuer, subject=subject, email=email)


@pytest.mark.parametrize(
    "name",
    [
        "Ada@Example.com",
        "ADA@EXAMPLE.COM",
        "  ada@example.com ",
        "ａｄａ＠ｅｘａｍｐｌｅ．ｃｏｍ",
        "ada\u200b@example.com",
        "ada@example\u00ad.com",
        "\ufeffada@example.com",
        "ad\u034fa@example.com",
        "ada\ufe0f@example.com",
        "ada\U000e0041@example.com",
        "ada@example.com\u2800",
    ],
    ids=ascii,
)
def test_forms_of_one_name_are_the_same(name: str) -> None:
    assert canonical_name(name) == "ada@example.com"


def test_the_canonical_form_of_a_canonical_form_is_itself() -> None:
    for name in (
        "Straße",
        "ΑΣΑΣ",
        "İstanbul",
        "ﬁn",
        "ǅ",
        "e\u0301",
        "é",
        "\u1e9b\u0323",
        "ⅷ",
        "ª",
        "ᾳ\u0345",
    ):
        once = canonical_name(name)

        assert canonical_name(once) == once
    assert canonical_name("e\u0301") == canonical_name("É")
    assert canonical_name("STRASSE") == canonical_name("straße")


def test_names_without_a_visible_character_are_one_person() -> None:
    assert same_persons(Person("\u200b"), [Person("\u2060\u200d ")])


def test_invisible_characters_are_found() -> None:
    assert not has_invisible_characters("Ada Lovelace (CI), 世界, Zoë")
    for name in ("a\u200bb", "a\u202eb", "a\tb", "a\u2028b", "a\u3164b", "a\ufe0f", "a\x7f", "a\x85"):
        assert has_invisible_characters(name), ascii(name)


def test_an_account_is_one_person_under_every_name() -> None:
    before = Person("ada@old.example", an_account("1", "ada@old.example"))
    after = Person("ada@new.example", an_account("1", "ada@new.example"))

    assert same_persons(after, [before]) == [before]
    assert same_persons(Person("bob", an_account("2")), [before, after]) == []


def test_the_same_subject_of_another_issuer_is_another_person() -> None:
    ours, theirs = an_account("1"), an_account("1", issuer="https://other.example/")

    assert same_persons(Person("ada", ours), [Person("bob", theirs)]) == []
    assert same_persons(Person("ada", ours), [Person("bob", an_account("1", issuer=ISSUER.rstrip("/")))])


def test_a_key_and_a_sign_in_with_that_mail_are_one_person() -> None:
    key = Person("Ada@example.com")

    assert same_persons(Person("ada", an_account("1", "ada@example.com")), [key]) == [key]
    assert same_persons(Person("ada", an_account("1")), [key]) == []


def test_a_mail_that_another_account_has_now_is_the_same_person() -> None:
    before = Person("ada@example.com", an_account("1", "ada@example.com"))

    assert same_persons(Person("ada@example.com", an_account("2", "ada@example.com")), [before]) == [before]


def test_another_record_may_tell_that_two_are_one() -> None:
    key = Person("ada@old.example")
    linking = Person("ada@old.example", an_account("1", "ada@old.example"))
    after = Person("ada@new.example", an_account("1", "ada@new.example"))

    assert same_persons(after, [key]) == []
    assert set(same_persons(after, [key, linking])) == {key, linking}
