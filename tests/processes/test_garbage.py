"""The garbage collector leaves alone what a role has built before its work began, and finds what the work leaves."""

import subprocess
import sys

from tests.support.live import PATIENCE_S

ROLE = """
import gc, weakref
from verify_service import app
from verify_service.process import keep_what_is_built

class Node:
    pass

keep_what_is_built()
assert gc.get_freeze_count() > 20_000, gc.get_freeze_count()
kept = set(map(id, gc.get_objects()))
assert id(vars(app)) not in kept
gone = []
for _ in range(30_000):
    node = Node()
    node.itself = node
    gone.append(weakref.ref(node))
    del node
assert sum(each() is not None for each in gone) < 20_000
"""


def test_what_is_built_is_kept_and_what_comes_later_is_collected() -> None:
    """Without being asked: cycles that are made at work are found while it goes on."""
    ended = subprocess.run([sys.executable, "-c", ROLE], capture_output=True, text=True, timeout=PATIENCE_S)
    assert (ended.returncode, ended.stderr) == (0, "")
