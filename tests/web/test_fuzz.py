"""Every call of `openapi.yaml` under generated input, on the live server."""

import pytest

from tests.support.fuzz import fuzz

pytestmark = pytest.mark.slow


def test_no_request_gets_an_answer_that_is_not_documented() -> None:
    """Fitting and unfitting data for each call: no 5xx, only documented statuses, bodies and headers that fit their
    schema, what does not fit is refused, no call works without its key; and nothing unforeseen is logged."""
    status, report = fuzz("--max-examples", "15", "--seed", "1", "--generation-deterministic")
    assert status == 0, report
    assert "unforeseen error" not in report
