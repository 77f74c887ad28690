"""Ids, tags and the partitions they lie in."""

import secrets


def of_tag(tag: str, partitions: int) -> int:
    """The partition of a tag: its first 16 bits, modulo the count."""
    return int(tag[:4], 16) % partitions


def of_id(verification_id: str, partitions: int) -> int:
    """The partition that an id (`ve_` and 32 hex digits) names in its first 16 bits."""
    return int(verification_id[3:7], 16) % partitions


def new_id(kind: str, partition: int, partitions: int) -> str:
    """`<kind>_` and 32 hex digits: 16 bits that name the partition and nothing else of the number, 112 random ones.

    The 16 bits are drawn among all that fall on the partition, so an id is no pseudonym of a number.
    """
    while True:
        drawn = secrets.token_bytes(16)
        turn = int.from_bytes(drawn[:2], "big") // partitions
        if turn < 65536 // partitions:
            return f"{kind}_{turn * partitions + partition:04x}{drawn[2:].hex()}"
