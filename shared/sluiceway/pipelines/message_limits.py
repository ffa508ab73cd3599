"""How much one thing may take of a message, by what the broker takes as one.

A part of each message is for its headers, and for what later steps add.
"""

#: The bytes of a message, headers included, that a broker takes by default (its `max_payload`).
MESSAGE_BYTES_MAX = 2**20
#: Bytes of a rule document; headers and the key need room as well.
DOCUMENT_BYTES_MAX = 1_000_000
#: The part of a smaller message that a rule document may use, in percent.
DOCUMENT_PERCENT = 96


def document_bytes_max(message_bytes_max: int) -> int:
    """Return the bytes of a rule document that may be published."""
    return min(DOCUMENT_BYTES_MAX, message_bytes_max * DOCUMENT_PERCENT // 100)
