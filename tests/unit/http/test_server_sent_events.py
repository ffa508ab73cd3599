"""The bytes of server-sent events."""

from sluiceway.http.server_sent_events import encode_comment, encode_event


def test_an_event_has_an_id_a_name_and_data_on_one_line() -> None:
    event = encode_event("feature", {"name": "a\nb", "text": "ü"}, 7)

    assert event.decode() == 'id: 7\nevent: feature\ndata: {"name": "a\\nb", "text": "ü"}\n\n'


def test_an_event_without_an_id_keeps_the_last_one() -> None:
    assert encode_event("region", {}) == b"event: region\ndata: {}\n\n"


def test_a_comment_is_a_line_that_clients_ignore() -> None:
    assert encode_comment("keep-alive") == b": keep-alive\n\n"
