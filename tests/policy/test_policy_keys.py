"""A policy's text is read in time by its length: a key of very many dots is refused before it is parsed."""

import time

import pytest

from tests.support.live import BASE
from verify_service.errors import ConfigError
from verify_service.policy import bounds
from verify_service.policy import file as policy_file

DOTS = bounds.MOST_DOTS + 1


@pytest.mark.parametrize(
    "text",
    [
        "a" + ".a" * DOTS + " = 1",
        "a" + ".a" * 20_000 + " = 1",
        "a" + " \t. a" * DOTS + " = 1",
        "[ a" + ".a" * DOTS + " ]",
        "[[a" + ".a" * DOTS + "]]",
        "x = {a" + ".a" * DOTS + " = 1}",
        "'.'" + ".'.'" * DOTS + " = 1",
        r'"\""' + r'."\""' * DOTS + " = 1",
    ],
)
def test_a_key_of_too_many_dots_is_refused(text: str) -> None:
    """However it is spelt: bare, quoted, with spaces, as a table's header, or in a table of one line."""
    with pytest.raises(ConfigError, match=f"^x: a key has more than {bounds.MOST_DOTS} dots; no key of a policy needs"):
        policy_file.parse(text, "x")


@pytest.mark.parametrize(
    "more",
    [
        "# " + "." * 1000,
        "# " + "1.2.3.4, " * 1000,
        "# One. Two sentences. " * 100,
        "[block]\nnetworks = [" + '"192.0.2.1", ' * 1000 + "]",
    ],
)
def test_dots_elsewhere_are_no_key(more: str) -> None:
    """A comment and a list may have as many as they like."""
    policy_file.parse(f"{BASE}\n{more}\n", "x")


@pytest.mark.parametrize(
    "piece", ["a", "a ", '"', "'", '\\"', "\"'a", "a.", ".", '"a".', "a" + ".a" * (DOTS - 1) + "\n"]
)
def test_looking_for_such_keys_takes_time_by_the_length(piece: str) -> None:
    """A megabyte of whatever might lead it astray is looked through in a moment of the processor's time."""
    text = ("=" + piece * bounds.MOST_BYTES)[: bounds.MOST_BYTES]
    began = time.thread_time()
    bounds.has_long_key(text)
    assert time.thread_time() - began < 5
