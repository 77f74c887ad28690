"""What Kannel alone does: ids of ours in the URLs that it calls, texts in several alphabets, its SMSC's own words."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support.peers.http_peer import Asked, Reply
from tests.support.peers.kannel_peer import KEY, KannelPeer, mac
from verify_service.adapters import find
from verify_service.errors import ConfigError, Forged
from verify_service.model import Callback, Receipt


class Recorder(KannelPeer):
    """Keeps the headers of what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.headers: list[dict[str, str]] = []

    def answer(self, asked: Asked) -> Reply:
        self.headers.append(dict(asked.headers))
        return super().answer(asked)


@pytest.fixture
def peer() -> Iterator[Recorder]:
    with Recorder() as made:
        yield made


def call(place: str, query: str) -> Callback:
    return Callback(method="GET", url=f"https://verify.example.org/providers/it/{place}?{query}", headers={}, body=b"")


def test_neither_code_nor_password_stands_in_the_url(peer: Recorder) -> None:
    """They go in headers and body, so no access log has them."""
    message = peer.message()
    provider = peer.provider()
    receipt = provider.send(message)
    provider.close()
    [headers] = peer.headers
    assert receipt == Receipt(provider_id=message.id)
    assert headers["x-kannel-dlr-url"] == (
        f"https://verify.example.org/providers/it/receipts?id={message.id}&mac={mac(message.id)}&status=%d&reply=%A"
    )


def test_a_percent_sign_in_the_public_url_is_not_kannels(peer: Recorder) -> None:
    """Kannel puts values in place of `%d` and the like, so one that is part of the address is written twice."""
    around = replace(peer.surroundings(), callbacks="https://example.org/a%20b/providers/it")
    provider = find("kannel").provider(peer.settings(), around)
    provider.send(peer.message())
    provider.close()
    assert peer.headers[0]["x-kannel-dlr-url"].startswith("https://example.org/a%%20b/providers/it/receipts?id=")


def test_a_code_that_ends_within_the_minute_still_has_one(peer: Recorder) -> None:
    """Kannel counts whole minutes, and 0 would mean for ever."""
    provider = peer.provider()
    provider.send(peer.message(expires_at=peer.clock.now() + 5_000))
    provider.close()
    assert peer.headers[0]["x-kannel-validity"] == "1"


def test_a_route_of_kannels_is_named(peer: Recorder) -> None:
    """`smsc` goes with each message, where it is set."""
    tables: list[dict[str, Any]] = [{}, {"smsc": "smsc-a"}]
    for table in tables:
        provider = find("kannel").provider(peer.settings(**table), peer.surroundings())
        provider.send(peer.message())
        provider.close()
    assert [headers.get("x-kannel-smsc") for headers in peer.headers] == [None, "smsc-a"]


def test_without_a_secret_no_receipt_is_asked_for_and_none_believed(peer: Recorder) -> None:
    """Nor is a text: nobody could tell who calls."""
    provider = find("kannel").provider(peer.settings(callback_secret=None), peer.surroundings())
    provider.send(peer.message())
    provider.close()
    assert not [name for name in peer.headers[0] if "dlr" in name]
    made = find("kannel").callbacks
    assert made
    callbacks = made(peer.settings(callback_secret=None), peer.surroundings())
    with pytest.raises(Forged):
        callbacks.receipts(call("receipts", "id=id-1&mac=&status=1"))
    with pytest.raises(Forged):
        callbacks.inbound(call("inbound", "key=&id=1&from=1&to=1&text=START&charset=UTF-8"))


@pytest.mark.parametrize("secret", ["", "short", "with a space and %d", "sixteen-characters&more=1"])
def test_a_secret_that_is_weak_or_no_part_of_a_url_stops_the_start(peer: Recorder, secret: str) -> None:
    """It is said at once, without showing it."""
    around = replace(peer.surroundings(), secret=lambda _: secret)
    with pytest.raises(ConfigError) as raised:
        find("kannel").provider(peer.settings(), around)
    assert str(raised.value) == "`callback_secret` needs 16 or more letters and digits, for it stands in a URL"


@pytest.mark.parametrize(
    ("status", "reply", "receipt"),
    [
        ("1", "", Receipt("id-1", "delivered")),
        ("8", "ACK/", Receipt("id-1")),
        ("4", "", Receipt("id-1")),
        ("2", "", Receipt("id-1", "failed", "status 2")),
        ("16", "NACK/88/Throttling error", Receipt("id-1", "failed", "88")),
        ("16", "NACK/11/Invalid destination address", Receipt("id-1", "failed", "11", permanent=True)),
        ("16", "NACK/1042/Stopped", Receipt("id-1", "failed", "1042", opted_out=True)),
        ("66", "id:1 stat:UNKNOWN err:000 text:err:11", Receipt("id-1", "failed", "UNKNOWN 000")),
    ],
)
def test_each_status_is_a_receipt(peer: Recorder, status: str, reply: str, receipt: Receipt) -> None:
    """With the SMSC's word and error, and nothing else of what it says: the rest may hold the text."""
    query = urlencode({"id": "id-1", "mac": mac("id-1"), "status": status, "reply": reply})
    assert list(peer.callbacks().receipts(call("receipts", query))) == [receipt]


@pytest.mark.parametrize(
    ("charset", "octets", "text"),
    [
        ("UTF-8", "arr%C3%AAt", "arrêt"),
        ("UTF-16BE", "%04!%04%22%04%1E%04%1F", "СТОП"),
        ("ISO-8859-1", "arr%EAt", "arrêt"),
        ("WINDOWS-1252", "%80", "€"),
    ],
)
def test_a_text_is_read_in_its_alphabet(peer: Recorder, charset: str, octets: str, text: str) -> None:
    """As Kannel 1.4.5 writes it; a number without its plus is one all the same, and a short code stays one."""
    query = f"key={KEY}&id=7&from=14155550123&to=43721&charset={charset}&text={octets}"
    [heard] = peer.callbacks().inbound(call("inbound", query))
    assert (heard.from_, heard.to, heard.body) == ("+14155550123", "43721", text)
