"""Types that many threads read for the first time at once."""

import subprocess
import sys

import pytest

from tests.support.live import PATIENCE_S

pytestmark = pytest.mark.slow

# Each round has types of its own, each within the next, and eight threads that read the last; threads take turns as
# often as they can.
MANY = """
import sys, threading, types
from verify_service import decoders

sys.setswitchinterval(1e-6)
found = []
for n in range(100):
    text = "import msgspec"
    for place in range(6):
        text += f"\\nclass T{place}(msgspec.Struct):"
        text += "".join(f"\\n  f{field}: 'int | None' = None" for field in range(12))
        text += f"\\n  inner: 'T{place - 1} | None' = None" if place else ""
    module = sys.modules[f"m{n}"] = types.ModuleType(f"m{n}")
    module.__dict__["__name__"] = f"m{n}"
    exec(text, module.__dict__)
    together = threading.Barrier(8)

    def read():
        together.wait()
        found.append(decoders.json(module.T5)(b'{"f1": 1, "inner": {"inner": {"f3": 3}}}').inner.inner.f3)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print(found == [3] * 800)
"""


def test_a_type_is_looked_at_by_one_thread_at_a_time() -> None:
    """With msgspec alone the process dies of a segmentation fault in one of the first rounds."""
    done = subprocess.run([sys.executable, "-c", MANY], capture_output=True, text=True, timeout=PATIENCE_S)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


LANGUAGES = """
import sys, threading
from verify_service.messages import locales

sys.setswitchinterval(1e-6)
together, found = threading.Barrier(8), []

def read():
    together.wait()
    found.append(locales.language("de"))

threads = [threading.Thread(target=read) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(found), all(each == found[0] for each in found))
"""


def test_the_first_texts_of_a_language_may_be_read_by_many_threads() -> None:
    """A dispatcher that begins with a full queue does so."""
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", LANGUAGES], capture_output=True, text=True, timeout=PATIENCE_S)
        assert (done.returncode, done.stdout, done.stderr) == (0, "8 True\n", "")
