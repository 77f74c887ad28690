"""A verification's record, read without the scripts that keep it."""

import struct

from verify_service.store.layouts import Record
from verify_service.store.unreadable import passed_over


def readable_record(packed: bytes | None) -> Record | None:
    """None where there is none, or none that this version can read."""
    try:
        return Record.open(packed) if packed else None
    except (struct.error, ValueError) as error:
        passed_over("record", type(error).__name__)
        return None
