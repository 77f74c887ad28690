"""Twilio Verify's API: services, rate limits, the safe list, attempts, and how their lists are paged."""

import re
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.bench import ManualClock, wrong
from tests.support.contract import LocalClient, a_number
from tests.support.twilio import ATTEMPT, BUCKET, META, RATE_LIMIT, SERVICE, SUMMARY, Twilio
from verify_service.errors import ConfigError
from verify_service.model import Actor
from verify_service.policy import file as policy_file
from verify_service.policy.listing import allowed, allowing
from verify_service.store import Store
from verify_service.web.twilio import attempts

POLICY = """
[code]
guess_ceiling = 1.0
[[limit]]
name = "accounts"
of = ["key:account", "tenant"]
allow = "2/minute; 10/day"
[[limit]]
name = "unused"
of = ["key:session"]
allow = "1/hour"
mode = "off"
"""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def twilio(quiet: Store, clock: ManualClock) -> Twilio:
    return Twilio(LocalClient(quiet, clock, POLICY))


@pytest.fixture
def alone_twilio(alone: Store, clock: ManualClock) -> Twilio:
    """On a store that has no other events, services or policies."""
    return Twilio(LocalClient(alone, clock))


def pages(twilio: Twilio, path: str, key: str) -> list[Any]:
    """All of a list, as an SDK follows its pages."""
    found: list[Any] = []
    while path:
        status, body = twilio.call("GET", path)
        assert (status, body.keys(), body["meta"].keys()) == (200, {key, "meta"}, META)
        assert body["meta"]["key"] == key
        found += body[key]
        after = body["meta"]["next_page_url"]
        path = after and urlsplit(after)._replace(scheme="", netloc="").geturl().removeprefix("/v2")
    return found


def test_a_service_is_made_changed_and_deleted(twilio: Twilio, clock: ManualClock) -> None:
    """With every field of the public document; its codes are its own, and gone with it."""
    status, made = twilio.call("POST", "/Services", {"FriendlyName": "My Shop", "CodeLength": "8"})
    assert (status, made.keys()) == (201, SERVICE)
    assert re.fullmatch("VA[0-9a-f]{32}", made["sid"])
    assert (made["friendly_name"], made["code_length"], made["account_sid"]) == ("My Shop", 8, twilio.account)
    assert made["date_created"] == made["date_updated"] == "2027-01-15T08:00:00Z"
    assert made["totp"] == {"issuer": "My Shop", "time_step": 30, "code_length": 6, "skew": 1}
    assert twilio.call("GET", f"/Services/{made['sid']}") == (200, made)
    first, twilio.service = twilio.service, made["sid"]
    to = a_number()
    sid = twilio.create(to)["sid"]
    code = twilio.code(sid, made["sid"][2:], digits=8)
    assert twilio.refused("POST", f"/Services/{first}/VerificationCheck", {"Code": code, "To": to}) == (404, 20404)
    assert twilio.check(code, To=to)["valid"] is True
    clock.advance(5)
    status, changed = twilio.call("POST", "/Services/{}", {"FriendlyName": "Our Shop"})
    renamed = {"friendly_name": "Our Shop", "totp": made["totp"] | {"issuer": "Our Shop"}}
    assert (status, changed) == (200, made | renamed | {"date_updated": "2027-01-15T08:00:05Z"})
    assert twilio.call("DELETE", "/Services/{}") == (204, None)
    for method, path, form in (
        ("GET", "/Services/{}", None),
        ("POST", "/Services/{}", {"FriendlyName": "Again"}),
        ("DELETE", "/Services/{}", None),
        ("POST", "/Services/{}/Verifications", {"To": to, "Channel": "sms"}),
    ):
        assert twilio.refused(method, path, form) == (404, 20404)


def test_a_code_that_is_pending_when_the_length_changes_is_good_still(twilio: Twilio, clock: ManualClock) -> None:
    """A resend brings one of the new length, and that is the one which is compared."""
    _, made = twilio.call("POST", "/Services", {"FriendlyName": "Shop", "CodeLength": "6"})
    twilio.service, purpose = made["sid"], made["sid"][2:]
    to = a_number()
    sid = twilio.create(to)["sid"]
    assert twilio.call("POST", "/Services/{}", {"CodeLength": "8"})[1]["code_length"] == 8
    assert twilio.check(wrong(twilio.code(sid, purpose)), To=to)["valid"] is False
    clock.advance(30)
    assert twilio.create(to)["sid"] == sid
    assert twilio.check(twilio.code(sid, purpose, digits=8), To=to)["valid"] is True


def test_a_service_of_the_file_or_of_a_name_is_not_changed_here(twilio: Twilio) -> None:
    assert twilio.call("GET", "/Services/{}")[1]["date_created"] is None
    assert twilio.refused("POST", "/Services/{}", {"FriendlyName": "Mine"}) == (400, 60204)
    assert twilio.refused("DELETE", "/Services/{}") == (400, 60204)


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"FriendlyName": "x" * 31}, 60200),
        ({"FriendlyName": "Your code is 123456"}, 60200),
        ({"FriendlyName": "evil.example/login"}, 60200),
        ({"FriendlyName": "line\nbreak"}, 60200),
        ({"FriendlyName": "Shop", "CodeLength": "4"}, 60200),
        ({"FriendlyName": "Shop", "CodeLength": "11"}, 60200),
        ({"FriendlyName": "Shop", "CodeLength": "-1"}, 60200),
        ({"FriendlyName": "Shop", "CustomCodeEnabled": "true"}, 60204),
        ({"FriendlyName": "Shop", "Psd2Enabled": "false"}, 60204),
        ({"FriendlyName": "Shop", "Totp.CodeLength": "4"}, 60204),
        ({"FriendlyName": "Shop", "Push.ApnCredentialSid": "CR1"}, 60200),
    ],
)
def test_a_service_that_cannot_be_is_refused(twilio: Twilio, form: dict[str, str], code: int) -> None:
    with twilio.spending_nothing():
        assert twilio.refused("POST", "/Services", form) == (400, code)


def test_a_list_is_paged(alone_twilio: Twilio, clock: ManualClock) -> None:
    """As the SDKs follow it: by whole addresses of this very server, none behind the last page."""
    twilio = alone_twilio
    for n in range(4):
        clock.advance(1)
        assert twilio.call("POST", "/Services", {"FriendlyName": f"Shop {n}"})[0] == 201
    names = [each["friendly_name"] for each in pages(twilio, "/Services?PageSize=2", "services")]
    assert names == ["Verify", "Shop 0", "Shop 1", "Shop 2", "Shop 3"]
    meta = twilio.call("GET", "/Services?PageSize=2&Page=1")[1]["meta"]
    assert meta == {
        "key": "services",
        "page": 1,
        "page_size": 2,
        "first_page_url": "http://localhost/v2/Services?PageSize=2&Page=0",
        "previous_page_url": "http://localhost/v2/Services?PageSize=2&Page=0",
        "url": "http://localhost/v2/Services?PageSize=2&Page=1",
        "next_page_url": "http://localhost/v2/Services?PageSize=2&Page=2",
    }
    for query in ("PageSize=0", "PageSize=1001", "PageSize=x", "Page=-1", "PageSize=%00"):
        assert twilio.refused("GET", f"/Services?{query}") == (400, 60200)


def test_rate_limits_are_the_policys_limits_on_keys(twilio: Twilio) -> None:
    """They hold for `RateLimits` of a create, are told with their buckets, and are written in the policy alone."""
    limits = '{"Account": "a-17", "other": "x"}'
    for _ in range(2):
        twilio.create(a_number(), RateLimits=limits)
    form = {"To": a_number(), "Channel": "sms", "RateLimits": limits}
    assert twilio.refused("POST", "/Services/{}/Verifications", form) == (429, 20429)
    assert (twilio.said["details"]["limit"], twilio.headers["Retry-After"]) == ("accounts", "61")
    twilio.create(a_number(), RateLimits='{"account": "a-18"}')
    (shown,) = pages(twilio, "/Services/{}/RateLimits", "rate_limits")
    assert (shown.keys(), shown["unique_name"]) == (RATE_LIMIT, "account")
    one = f"/Services/{{}}/RateLimits/{shown['sid']}"
    assert twilio.call("GET", one) == (200, shown)
    buckets = pages(twilio, f"{one}/Buckets", "buckets")
    assert [(each.keys(), each["max"], each["interval"]) for each in buckets] == [(BUCKET, 2, 60), (BUCKET, 10, 86400)]
    assert twilio.call("GET", f"{one}/Buckets/{buckets[0]['sid']}") == (200, buckets[0])
    for method, path in (
        ("POST", "/Services/{}/RateLimits"),
        ("POST", one),
        ("DELETE", one),
        ("POST", f"{one}/Buckets"),
        ("DELETE", f"{one}/Buckets/{buckets[0]['sid']}"),
    ):
        assert twilio.refused(method, path, {"UniqueName": "x"}) == (400, 60204)
    for path in (f"/Services/{{}}/RateLimits/RK{'0' * 32}", f"{one}/Buckets/BL{'0' * 32}", one.replace("RK", "rk")):
        assert twilio.refused("GET", path) == (404, 20404)


def test_the_safe_list_is_the_policys_allow_list(alone_twilio: Twilio) -> None:
    """Each change is a revision of the policy that says who made it, and names no number; all else stays."""
    live, to = alone_twilio.client.app.extensions["verify_service"].live, a_number()
    twilio = alone_twilio
    assert twilio.refused("POST", "/SafeList/Numbers", {"PhoneNumber": to}) == (503, 20503)
    first = live.push(1, Actor("root"), "", "# ours\n" + policy_file.default_text())
    status, made = twilio.call("POST", "/SafeList/Numbers", {"PhoneNumber": to})
    assert (status, made.keys(), made["phone_number"]) == (201, {"sid", "phone_number", "url"}, to)
    assert re.fullmatch("GN[0-9a-f]{32}", made["sid"])
    assert twilio.call("GET", f"/SafeList/Numbers/{to}") == (200, made)
    pushed = live.revision()
    assert (pushed.revision, pushed.by, pushed.note) == (2, "api:default", "SafeList/Numbers: a number added")
    assert pushed.text.startswith("# ours\n")
    assert policy_file.parse(pushed.text, "").allow.numbers == {to}
    assert twilio.call("POST", "/SafeList/Numbers", {"PhoneNumber": to})[0] == 201
    assert live.revision().revision == 2
    assert twilio.call("DELETE", f"/SafeList/Numbers/{to}") == (204, None)
    assert policy_file.parse(live.revision().text, "").allow.numbers == frozenset()
    assert policy_file.parse(live.revision(1).text, "").limit == policy_file.parse(first.text, "").limit
    for method, path in (("GET", f"/SafeList/Numbers/{to}"), ("DELETE", f"/SafeList/Numbers/{to}")):
        assert twilio.refused(method, path) == (404, 20404)
    assert twilio.refused("POST", "/SafeList/Numbers", {"PhoneNumber": "nobody"}) == (400, 60200)
    assert twilio.refused("POST", "/SafeList/Numbers", {}) == (400, 60200)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[code]\ndigits = 6",
        "[allow]\n",
        "[allow]  # friends\nprefixes = ['+1555']\n\n[code]\ndigits = 6\n",
        '[allow]\nnumbers = []\n[[limit]]\nname = "n"\nof = ["number"]\nallow = "5/hour"\n',
        '[allow]\nnumbers = [\n  "+14155550001",  # the office\n  "+14155550002"\n]\n[code]\ndigits = 6\n',
    ],
)
def test_a_number_comes_and_goes_and_all_else_stays(text: str) -> None:
    """Comments, order and other tables included."""
    to = "+14155559999"
    listed = allowing(text, to, listed=True)
    assert set(allowed(listed)) == {*allowed(text), to}
    assert allowing(listed, to, listed=True) == listed
    assert [line for line in text.splitlines() if "#" in line and line not in listed] == []
    without = allowing(listed, to, listed=False)
    assert allowed(without) == allowed(text)
    assert without.replace("\n[allow]\nnumbers = []\n", "").replace("numbers = []\n", "").split() in (
        text.split(),
        text.replace("numbers = []\n", "").split(),
    )


@pytest.mark.parametrize(
    "text",
    [
        "allow = {numbers = []}\n",
        "allow.numbers = ['+14155550001']\n",
        "[allow]\n'numbers' = []\n",
        "[allow",
        "[allow]",
    ],
)
def test_what_only_a_person_can_change_is_left_alone(text: str) -> None:
    with pytest.raises(ConfigError):
        allowing(text, "+14155559999", listed=True)


def tried(twilio: Twilio, clock: ManualClock) -> tuple[str, str]:
    """Starts an approved verification with two messages, and one that nobody enters; gives their SIDs."""
    to = a_number()
    sid = twilio.create(to)["sid"]
    clock.advance(30)
    twilio.create(to, "call")
    clock.advance(5)
    twilio.check(twilio.code(sid), To=to)
    clock.advance(5)
    twilio.client.start(a_number(), purpose="payment")
    return sid, twilio.create(a_number())["sid"]


def test_attempts_are_told_from_the_events(alone_twilio: Twilio, clock: ManualClock) -> None:
    """Each message of a service, the newest first; the one before an approval has converted."""
    twilio = alone_twilio
    sid, other = tried(twilio, clock)
    found = pages(twilio, "/Attempts?PageSize=2", "attempts")
    assert all(each.keys() == ATTEMPT for each in found)
    assert [(each["verification_sid"], each["channel"], each["conversion_status"]) for each in found] == [
        (other, "sms", "unconverted"),
        (sid, "call", "converted"),
        (sid, "sms", "unconverted"),
    ]
    assert found[1]["date_updated"] == "2027-01-15T08:00:35Z"
    assert found[0]["channel_data"]["country"] == "US"
    assert re.fullmatch(r"\+1415555[0-9]XXX", found[0]["channel_data"]["to"])
    pending = twilio.call("GET", f"/Services/{{}}/Verifications/{other}")[1]
    assert [each["attempt_sid"] for each in pending["send_code_attempts"]] == [found[0]["sid"]]
    assert twilio.call("GET", f"/Attempts/{found[1]['sid']}") == (200, found[1])
    assert twilio.refused("GET", f"/Attempts/VL{'0' * 32}") == (404, 20404)


def test_attempts_are_filtered_and_summed_up(alone_twilio: Twilio, clock: ManualClock) -> None:
    """By all that Twilio filters by, but for the number, which no event has."""
    sid, _ = tried(alone_twilio, clock)
    for query, count in (
        ("Channel=call", 1),
        ("Status=converted", 1),
        ("Country=US", 3),
        ("Country=FR", 0),
        (f"VerificationSid={sid}", 2),
        (f"VerifyServiceSid={alone_twilio.service}", 3),
        ("DateCreatedAfter=2027-01-15T08:00:30Z", 2),
        ("DateCreatedBefore=2027-01-15T08:00:10Z", 1),
    ):
        assert len(pages(alone_twilio, f"/Attempts?{query}", "attempts")) == count, query
    status, found = alone_twilio.call("GET", "/Attempts/Summary")
    assert (status, found.keys()) == (200, SUMMARY)
    assert (found["total_attempts"], found["total_converted"], found["total_unconverted"]) == (3, 1, 2)
    assert found["conversion_rate_percentage"] == "33.33"
    for query in ("DateCreatedAfter=yesterday", "DateCreatedAfter=1999-01-01", "Ever=1", "DateCreatedBefore=%00"):
        assert alone_twilio.refused("GET", f"/Attempts/Summary?{query}") == (400, 60200)


def test_one_list_of_attempts_is_made_at_a_time(twilio: Twilio) -> None:
    """Each reads all events: whoever asks for several at once is told to come back, and holds up nobody else."""
    with attempts.alone():
        assert twilio.refused("GET", "/Attempts") == (429, 20429)
        assert twilio.headers["Retry-After"] == "1"
        assert twilio.call("GET", "/Services")[0] == 200
    assert twilio.call("GET", "/Attempts/Summary")[0] == 200
