"""A thousand logins through real peers: each code arrives once and is right, each receipt finds its verification."""

import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from tests.peers.aggregator import aggregator_at_work
from tests.peers.kannel import CALLBACK_KEY, PASSWORD, kannel_at_work
from tests.support.concurrency import numbers
from tests.support.live import until
from verify_service.embedded import free_port
from verify_service.testing import VerifyClient, VerifyProblem, start_server

THOUSAND = 1_000
PATIENCE_S = 120.0
PHONE = "+12025550143"
Messages = Callable[[], list[tuple[str, str, str]]]


@contextmanager
def service(folder: Path, port: int, config: str, **env: str) -> Iterator[VerifyClient]:
    """`verify-service run` with this verify.toml on a port, in real time."""
    folder.mkdir()
    (folder / "verify.toml").write_text(f'public_url = "http://127.0.0.1:{port}"\n{config}')
    env |= {"VERIFY_CONFIG": str(folder / "verify.toml"), "VERIFY_CLOCK": "system"}
    running = start_server(folder / "state", env, port=port)
    client = VerifyClient(running.server)
    try:
        yield client
    finally:
        client.close()
        assert running.stop() == 0


def a_thousand_logins(client: VerifyClient, provider: str, received: Messages) -> None:
    """Starts them, reads the codes where they come out, waits for the receipts, and checks every code."""
    people = list(islice(numbers(415), THOUSAND))
    with ThreadPoolExecutor(8) as pool:
        started = dict(zip(people, pool.map(client.start, people), strict=True))
        until(lambda: len(received()) >= THOUSAND, "a thousand texts", PATIENCE_S)

        def history(verification: dict[str, Any]) -> list[tuple[str, str | None]]:
            return [(line["event"], line.get("provider")) for line in client.status(verification["id"])["timeline"]]

        expected = Counter(
            {("started", None): 1, ("queued", None): 1, ("sent", provider): 1, ("delivered", provider): 1}
        )
        left = list(started.values())

        def all_delivered() -> bool:
            left[:] = [
                each for each, told in zip(left, pool.map(history, left), strict=True) if Counter(told) != expected
            ]
            return not left

        until(all_delivered, "a thousand receipts", PATIENCE_S)
        assert Counter(to for _, to, _ in received()) == dict.fromkeys(people, 1)
        codes = {to: re.findall(r"\b\d{6}\b", text)[0] for _, to, text in received()}
        checked = pool.map(lambda to: client.check(id=started[to]["id"], code=codes[to])["status"], people)
        assert Counter(checked) == {"approved": THOUSAND}


def a_stop(client: VerifyClient, text: Callable[[str, str, str], None]) -> None:
    """A person who texts STOP gets no more codes."""
    client.start(PHONE)
    text(PHONE, "43721", "STOP")

    def refused() -> bool:
        try:
            client.start(PHONE, purpose=secrets.token_hex(4))
        except VerifyProblem as problem:
            return bool(problem.body["type"] == "/problems/opted-out")
        return False

    until(refused)


SENDER = """
[senders.short]
type = "short-code"
address = "43721"
[[routes]]
via = [{ provider = "%s", sender = "short" }]
"""


def test_a_thousand_messages_through_kannel(tmp_path: Path) -> None:
    """Kannel hands each to its fake SMSC once, and calls us with each receipt; a STOP from a phone is heard."""
    port = free_port()
    with kannel_at_work(tmp_path / "kannel", f"http://127.0.0.1:{port}/providers/own-kannel") as kannel:
        config = f"""
        [providers.own-kannel]
        kind = "kannel"
        url = "{kannel.url}"
        username = "verify"
        password = "env:KANNEL_PASSWORD"
        callback_secret = "env:KANNEL_KEY"
        """
        secrets_of = {"KANNEL_PASSWORD": PASSWORD, "KANNEL_KEY": CALLBACK_KEY}
        with service(tmp_path / "service", port, config + SENDER % "own-kannel", **secrets_of) as client:
            a_thousand_logins(client, "own-kannel", kannel.received)
            assert {sender for sender, _, _ in kannel.received()} == {"43721"}
            a_stop(client, kannel.text)


def test_a_thousand_messages_over_smpp(tmp_path: Path) -> None:
    """The SMSC takes each once, and delivers each receipt over the bind; a STOP from a phone is heard."""
    with aggregator_at_work() as aggregator:
        config = f"""
        [providers.aggregator]
        kind = "smpp"
        host = "127.0.0.1"
        port = {aggregator.port}
        system_id = "verify"
        password = "env:SMPP_PASSWORD"
        """
        with service(
            tmp_path / "service", free_port(), config + SENDER % "aggregator", SMPP_PASSWORD="s3cret"
        ) as client:
            a_thousand_logins(client, "aggregator", lambda: aggregator.received)
            assert {sender for sender, _, _ in aggregator.received} == {"43721"}
            assert set(aggregator.binds) == {"verify"}
            a_stop(client, aggregator.text)
