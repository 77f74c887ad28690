"""The way of one code, end to end, on the live server."""

import pytest

from verify_service.testing import VerifyClient, VerifyClock, VerifyInbox, VerifyProblem

TO = "+14155550123"


def test_a_code_that_arrives_is_approved_once(verify_client: VerifyClient, verify_inbox: VerifyInbox) -> None:
    """A login flow starts, the person reads the code, the check approves it; a second check finds nothing."""
    started = verify_client.start(TO)
    code = verify_inbox.code(TO)
    assert verify_client.check(id=started["id"], code=code) == {
        "id": started["id"],
        "status": "approved",
        "approved": True,
        "checks_left": 5,
    }
    with pytest.raises(VerifyProblem) as refused:
        verify_client.check(id=started["id"], code=code)
    assert (refused.value.status, refused.value.body["type"]) == (404, "/problems/verification-not-found")


def test_a_code_expires(verify_client: VerifyClient, verify_inbox: VerifyInbox, verify_clock: VerifyClock) -> None:
    """After its life a right code is as good as none, and the timeline says expired."""
    started = verify_client.start(TO)
    code = verify_inbox.code(TO)
    verify_clock.advance(601)
    with pytest.raises(VerifyProblem) as refused:
        verify_client.check(id=started["id"], code=code)
    assert refused.value.status == 404
    assert verify_client.status(started["id"])["timeline"][-1]["event"] == "expired"
