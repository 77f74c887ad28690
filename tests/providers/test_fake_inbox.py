"""The fake provider's inbox, on the live server: long polls, tenants, and what of it is in the store."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
import redis

from tests.support.bench import a_start
from tests.support.dispatching import Post
from tests.support.live import dispatching, until
from verify_service.codes import api_key_digest, new_api_key
from verify_service.remote import running_store
from verify_service.testing import VerifyClient, VerifyClock, VerifyInbox, VerifyProblem, VerifyServer, start_server
from verify_service.web.native.fake import LONGEST_WAIT

pytestmark = pytest.mark.slow

TO = "+14155550123"
OTHER = "+14155550124"


def test_a_message_shows_what_was_sent(verify_client: VerifyClient, verify_inbox: VerifyInbox) -> None:
    """Every member of a message, as the contract lists them."""
    started = verify_client.start(TO)
    [message] = verify_inbox.messages(TO, wait=30)
    code = message["code"]
    assert message == {
        "id": message["id"],
        "to": TO,
        "from": "Verify",
        "body": f"{code} is your Verify code. It expires in 10 minutes. Do not share it with anyone.",
        "code": code,
        "channel": "sms",
        "encoding": "GSM-7",
        "segments": 1,
        "verification_id": started["id"],
        "sent_at": message["sent_at"],
    }
    assert started["created_at"] <= message["sent_at"] <= started["expires_at"]


def test_a_wait_ends_when_a_message_comes(verify_client: VerifyClient, verify_inbox: VerifyInbox) -> None:
    """Who waits is answered as soon as there is something to see, not when the wait is over."""
    with ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        waiting = pool.submit(verify_inbox.messages, TO, wait=30)
        started = verify_client.start(TO)
        [message] = waiting.result()
    assert message["verification_id"] == started["id"]
    assert time.monotonic() - began < LONGEST_WAIT


def test_a_wait_outlives_its_connection(post: Post) -> None:
    """Whose subscription broke while it waited is answered by the next message all the same."""
    client: Any = post.bench.store.link.client()
    with dispatching(post.bench) as inbox, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(inbox.messages, "default", TO, None, 30.0)
        until(lambda: client.pubsub_numsub("vs:inbox")[0][1] == 1, "the wait to begin")
        client.client_kill_filter(_type="pubsub")
        began = time.monotonic()
        started = post.bench.service.start("default", a_start(TO))
        [message] = waiting.result()
    assert message.verification_id == started.id
    assert time.monotonic() - began < LONGEST_WAIT


def test_a_wait_that_sees_something_already_does_not_wait(
    verify_client: VerifyClient, verify_inbox: VerifyInbox
) -> None:
    """A message that is there is answered at once."""
    verify_client.start(TO)
    verify_inbox.messages(TO, wait=30)
    began = time.monotonic()
    assert len(verify_inbox.messages(TO, wait=30)) == 1
    assert time.monotonic() - began < LONGEST_WAIT


def test_a_wait_for_nothing_ends_with_nothing(verify_inbox: VerifyInbox) -> None:
    """After `wait` seconds the answer is an empty list."""
    began = time.monotonic()
    assert verify_inbox.messages(TO, wait=0.3) == []
    assert 0.3 <= time.monotonic() - began < LONGEST_WAIT


def test_after_leaves_out_what_was_seen(
    verify_client: VerifyClient, verify_inbox: VerifyInbox, verify_clock: VerifyClock
) -> None:
    """`after` a message, only newer ones count, and are waited for; without it, all are there, newest first."""
    verify_client.start(TO)
    [first] = verify_inbox.messages(TO, wait=30)
    assert verify_inbox.messages(TO, after=first["id"]) == []
    verify_clock.advance(31)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(verify_inbox.messages, TO, wait=30, after=first["id"])
        verify_client.start(TO)
        [second] = waiting.result()
    assert second["id"] != first["id"]
    assert second["code"] == first["code"]
    assert verify_inbox.messages(TO) == [second, first]


def test_the_inbox_of_all_numbers(verify_client: VerifyClient, verify_inbox: VerifyInbox) -> None:
    """For a program, `/fake/inbox` lists the messages to all numbers, newest first, and can be waited on too."""
    for to in (TO, OTHER):
        verify_client.start(to)
        verify_inbox.code(to)
    _, _, body = verify_client.request("GET", "/fake/inbox?wait=30", headers={"accept": "application/json"})
    assert [message["to"] for message in body["messages"]] == [OTHER, TO]


def test_delete_empties_it(verify_client: VerifyClient, verify_inbox: VerifyInbox) -> None:
    """After DELETE there is no message to any number; verifications are as they were."""
    started = verify_client.start(TO)
    code = verify_inbox.code(TO)
    verify_inbox.empty()
    assert verify_inbox.messages(TO) == []
    assert verify_client.check(id=started["id"], code=code)["approved"]


@pytest.mark.parametrize("wait", ["-1", "31", "soon", "nan", "inf", ""])
def test_a_wait_that_is_none_is_refused(verify_client: VerifyClient, wait: str) -> None:
    """`wait` is a number of seconds, 30 at most."""
    status, _, problem = verify_client.request("GET", f"/fake/inbox/{TO}?wait={wait}")
    assert (status, problem["errors"][0]["field"]) == (400, "wait")


def test_a_hundred_waits_delay_no_start(verify_client: VerifyClient, verify_inbox: VerifyInbox) -> None:
    """While a hundred requests wait for messages, no start waits with them."""
    watched = [f"+1415{2_010_000 + n}" for n in range(100)]
    together = Barrier(101)

    def wait_for(to: str) -> list[dict[str, Any]]:
        together.wait()
        return verify_inbox.messages(to, wait=30)

    with ThreadPoolExecutor(100) as pool:
        waits = [pool.submit(wait_for, to) for to in watched]
        together.wait()
        for n in range(20):
            verify_client.start(f"+1415{2_030_000 + n}")
        # A start that found no thread would wait for the end of a long poll.
        assert not any(wait.done() for wait in waits)
        for to in watched:
            verify_client.start(to)
        assert [len(wait.result()) for wait in waits] == [1] * 100


@pytest.fixture(scope="module")
def two_tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[VerifyServer, VerifyServer]]:
    """A server on the system's clock, as two tenants see it."""
    folder = tmp_path_factory.mktemp("tenants")
    keys = {name: new_api_key(name) for name in ("acme", "umbrella")}
    (folder / "verify.toml").write_text(
        '[providers.fake-a]\nkind = "fake"\n'
        + "".join(
            f'[tenants.{name}]\napi_keys = [{{ digest = "{api_key_digest(key)}" }}]\n' for name, key in keys.items()
        )
    )
    env = {"VERIFY_CONFIG": str(folder / "verify.toml"), "VERIFY_CLOCK": "system"}
    running = start_server(folder / "state", env, workers=1)
    try:
        acme, umbrella = (
            VerifyServer(running.server.url, key, running.server.state_dir, running.server.pid) for key in keys.values()
        )
        yield acme, umbrella
    finally:
        running.stop()


def test_tenants_do_not_see_each_others_messages(two_tenants: tuple[VerifyServer, VerifyServer]) -> None:
    """The same number has an inbox, a consent and a state per tenant; to empty or forget one leaves the other."""
    acme, umbrella = (VerifyClient(server) for server in two_tenants)
    acme.start(TO)
    [message] = VerifyInbox(acme).messages(TO, wait=30)
    assert message["from"] == "Acme"
    assert VerifyInbox(umbrella).messages(TO, wait=0.2) == []
    everything = umbrella.request("GET", "/fake/inbox", headers={"accept": "application/json"})[2]
    assert everything == {"messages": []}
    VerifyInbox(umbrella).empty()
    umbrella.forget(TO)
    VerifyInbox(umbrella).text(TO, "43721", "STOP")
    assert VerifyInbox(acme).messages(TO) == [message]
    assert acme.check(to=TO, code=message["code"])["approved"]
    with pytest.raises(VerifyProblem) as opted_out:
        umbrella.start(TO)
    assert opted_out.value.status == 403
    acme.forget(TO)
    assert acme.start(TO)["status"] == "pending"


def test_the_systems_clock_does_not_move(two_tenants: tuple[VerifyServer, VerifyServer]) -> None:
    """Without VERIFY_CLOCK=virtual nobody can move the time, and so the end of a code's life."""
    with pytest.raises(VerifyProblem) as refused:
        VerifyClock(VerifyClient(two_tenants[0])).advance(1)
    assert (refused.value.status, refused.value.body["type"]) == (403, "/problems/forbidden")


def test_the_inbox_is_ciphertext_for_an_hour(
    verify_server: VerifyServer, verify_client: VerifyClient, verify_inbox: VerifyInbox
) -> None:
    """In the store the inbox and the behaviour show neither code nor number, and the inbox is gone after an hour."""
    verify_inbox.behave({"to": TO, "do": "accept"})
    verify_client.start(TO)
    code = verify_inbox.code(TO)
    url = running_store(verify_server.state_dir)
    assert url
    client = redis.Redis.from_url(url)
    inboxes = list(client.scan_iter(match="vs:{0}:fake:inbox:*"))
    assert len(inboxes) == 2
    for key in inboxes:
        assert 3_500 < client.ttl(key) <= 3_600
        values = client.lrange(key, 0, -1)
        assert values
        for text in (key, *values):
            assert code.encode() not in text
            assert TO[1:].encode() not in text
    behaviour: Any = client.hvals("vs:{0}:fake:behaviour")
    assert behaviour
    assert TO[1:].encode() not in b"".join(behaviour)
