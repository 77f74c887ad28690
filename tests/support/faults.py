"""Policies that cannot be used."""

import pytest

from verify_service.errors import ConfigError
from verify_service.policy import file as policy_file

GUARD = "[code]\nguess_ceiling = 1.0\n"


def is_refused(policy: str, words: str) -> None:
    """The policy is refused in one line that matches."""
    with pytest.raises(ConfigError, match=words) as refused:
        policy_file.parse(GUARD + policy, "x")
    assert "\n" not in str(refused.value)
