"""Twilio's own SDKs call the service: nothing is changed but the base URL."""

import itertools
import json
import os
import re
import runpy
import secrets
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyotp
import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from tests.support.live import until
from verify_service import services
from verify_service.testing import RunningServer, VerifyClient, VerifyInbox, start_server

NODE = Path(sys.prefix) / "twilio"
SHOP = "VA" + "5" * 32
ACCOUNT = services.account("default")
SERVICE = services.of_tenant("default", ())[0].sid
_numbers = itertools.count(1000)
# A cooldown that no busy machine sits out by itself.
POLICY = """
[countries]
deny = ["FR"]
[code]
guess_ceiling = 1.0
life = "1 hour"
cooldown = ["10 minutes"]
[[limit]]
name = "account"
of = ["key:account"]
allow = "1/hour"
[[limit]]
name = "number"
of = ["number"]
allow = "20/hour"
[[limit]]
name = "guesses"
of = ["number"]
allow = "50/hour"
counts = "wrong-codes"
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("twilio")
    (folder / "policy.toml").write_text(POLICY)
    made = start_server(folder / "state", {"VERIFY_POLICY": str(folder / "policy.toml")})
    yield made
    made.stop()


@pytest.fixture
def twilio(running: RunningServer) -> Client:
    """As `verify-service twilio` prints it."""
    client = Client(ACCOUNT, running.server.api_key)
    client.verify.base_url = running.server.url
    return client


@pytest.fixture
def ours(running: RunningServer) -> Iterator[VerifyClient]:
    client = VerifyClient(running.server)
    yield client
    client.close()


@pytest.fixture
def inbox(ours: VerifyClient) -> VerifyInbox:
    return VerifyInbox(ours)


def a_number() -> str:
    """One that no other test of this module has."""
    return f"+1415777{next(_numbers):04d}"


def error(call: Any, *args: Any, **named: Any) -> tuple[int, int]:
    """The status and the number of the error that the SDK raises."""
    with pytest.raises(TwilioRestException) as raised:
        call(*args, **named)
    return raised.value.status, raised.value.code


class Asked(dict[str, Any]):
    """A payload that notes what it is asked for."""

    def __init__(self, payload: dict[str, Any]) -> None:
        super().__init__(payload)
        self.names: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, default)


def whole(instance: Any, running: RunningServer, path: str, key: str | None = None) -> None:
    """The answer under a path has every field that the SDK's own type reads of it."""
    client = VerifyClient(running.server)
    login = f"{ACCOUNT}:{running.server.api_key}"
    status, _, body = client.request("GET", path, headers={"Authorization": _basic(login)})
    assert status == 200
    payload = Asked(body[key][0] if key else body)
    type(instance)(instance._version, payload, *[""] * (type(instance).__init__.__code__.co_argcount - 3))
    assert payload.names <= payload.keys()
    client.close()


def _basic(login: str) -> str:
    return "Basic " + b64encode(login.encode()).decode()


def test_a_code_goes_out_and_is_checked(twilio: Client, inbox: VerifyInbox, ours: VerifyClient) -> None:
    """Create, resend, wrong and right, fetched by SID and by number; a second right one is 20404."""
    to, service = a_number(), twilio.verify.v2.services(SERVICE)
    made = service.verifications.create(to=to, channel="sms")
    assert (made.status, made.valid, made.to, made.channel) == ("pending", False, to, "sms")
    assert made.date_created is not None
    assert made.date_created.tzinfo is not None
    assert error(service.verifications.create, to=to, channel="sms") == (429, 20429)
    ours.request("POST", "/fake/clock", {"advance": 600})
    again = service.verifications.create(to=to, channel="sms")
    assert (again.sid, len(again.send_code_attempts)) == (made.sid, 2)
    for ref in (made.sid, to):
        assert service.verifications(ref).fetch().sid == made.sid
    missed = service.verification_checks.create(to=to, code="000000")
    assert (missed.status, missed.valid) == ("pending", False)
    code = inbox.code(to, wait=30)
    right = service.verification_checks.create(verification_sid=made.sid, code=code)
    assert (right.status, right.valid, right.to, right.sid) == ("approved", True, to, made.sid)
    assert error(service.verification_checks.create, to=to, code=code) == (404, 20404)
    assert error(service.verifications(made.sid).fetch) == (404, 20404)


def test_a_code_of_one_api_is_good_in_the_other(twilio: Client, inbox: VerifyInbox, ours: VerifyClient) -> None:
    to = a_number()
    sid = twilio.verify.v2.services(SERVICE).verifications.create(to=to, channel="sms").sid
    assert ours.check(id=f"ve_{(sid or '')[2:]}", code=inbox.code(to, wait=30))["approved"] is True
    other = a_number()
    ours.start(other)
    checks = twilio.verify.v2.services(SERVICE).verification_checks
    assert checks.create(to=other, code=inbox.code(other, wait=30)).valid is True


def test_a_verification_is_ended_by_its_caller(twilio: Client) -> None:
    service = twilio.verify.v2.services(SERVICE)
    for status in ("canceled", "approved"):
        to = a_number()
        service.verifications.create(to=to, channel="sms")
        assert service.verifications(to).update(status=status).status == status
        assert error(service.verifications(to).update, status=status) == (404, 20404)


def test_errors_are_those_that_the_sdk_raises_of_twilio(twilio: Client, running: RunningServer) -> None:
    """By number and status, as a login flow tells them apart."""
    service = twilio.verify.v2.services(SERVICE)
    create, check = service.verifications.create, service.verification_checks.create
    assert error(create, to="+1", channel="sms") == (400, 60200)
    assert error(create, to=a_number(), channel="pigeon") == (400, 60200)
    assert error(create, to=a_number(), channel="sms", custom_code="123456") == (400, 60204)
    assert error(create, to=a_number(), channel="sms", amount="1") == (400, 60206)
    assert error(create, to="+33612345678", channel="sms") == (403, 60605)
    limits = {"account": secrets.token_hex(4)}
    create(to=a_number(), channel="sms", rate_limits=limits)
    assert error(create, to=a_number(), channel="sms", rate_limits=limits) == (429, 20429)
    to = a_number()
    create(to=to, channel="sms")
    for _ in range(5):
        check(to=to, code="000000")
    assert error(check, to=to, code="000000") == (429, 60202)
    assert error(check, to=a_number(), code="000000") == (404, 20404)
    stranger = Client(ACCOUNT, "vk_default_wrong")
    stranger.verify.base_url = running.server.url
    assert error(stranger.verify.v2.services(SERVICE).fetch) == (401, 20003)
    assert error(twilio.verify.v2.services(SHOP).fetch) == (404, 20404)


def test_services_are_made_listed_and_deleted(twilio: Client) -> None:
    """The list is followed over its pages."""
    made = [twilio.verify.v2.services.create(friendly_name=f"Shop {n}", code_length=8) for n in range(3)]
    listed = [each.sid for each in twilio.verify.v2.services.list(page_size=2)]
    assert listed[0] == SERVICE
    assert {each.sid for each in made} <= set(listed)
    assert made[0].update(friendly_name="Our Shop").friendly_name == "Our Shop"
    assert [each.delete() for each in made] == [True] * 3
    assert error(made[0].fetch) == (404, 20404)


def test_the_safe_list_the_limits_and_the_attempts_are_read(twilio: Client) -> None:
    number = twilio.verify.v2.safelist.create(phone_number="+14157770199")
    assert twilio.verify.v2.safelist(number.phone_number).fetch().sid == number.sid
    assert twilio.verify.v2.safelist(number.phone_number).delete() is True
    service = twilio.verify.v2.services(SERVICE)
    (limit,) = service.rate_limits.list()
    assert limit.unique_name == "account"
    assert [(each.max, each.interval) for each in service.rate_limits(limit.sid).buckets.list()] == [(1, 3600)]
    assert error(service.rate_limits.create, unique_name="mine") == (400, 60204)
    made = service.verifications.create(to=a_number(), channel="sms")
    (attempt,) = twilio.verify.v2.verification_attempts.list(verification_sid=made.sid)
    assert (attempt.sid, attempt.conversion_status) == (made.send_code_attempts[0]["attempt_sid"], "unconverted")
    assert (twilio.verify.v2.verification_attempts_summary().fetch().total_attempts or 0) >= 1


def test_an_app_is_enrolled_and_asked_for_its_codes(twilio: Client) -> None:
    """Entity, factor and challenges: wrong and right, brought along and later, listed and deleted; by the server's own
    clock, and codes that are right on both sides of a time step's end."""
    who = twilio.verify.v2.services(SERVICE).entities(secrets.token_hex(16))
    made = who.new_factors.create(friendly_name="Ann’s phone", factor_type="totp")
    assert (made.status, made.config["code_length"]) == ("unverified", 6)
    app = pyotp.parse_uri(made.binding["uri"])
    assert isinstance(app, pyotp.TOTP)

    began = int(made.date_created.timestamp())

    def code(steps: int) -> str:
        return app.at(began + 30 * steps)

    near = {code(steps) for steps in range(-5, 10)}
    wrong = next(each for each in ("000000", *map(str, range(100_000, 100_020))) if each not in near)

    assert who.fetch().identity == who.factors(made.sid).fetch().identity
    assert error(who.challenges.create, factor_sid=made.sid) == (403, 60318)
    assert who.factors(made.sid).update(auth_payload=wrong).status == "unverified"
    assert who.factors(made.sid).update(auth_payload=code(0)).status == "verified"
    asked = who.challenges.create(factor_sid=made.sid)
    assert (asked.status, asked.date_responded) == ("pending", None)
    assert who.challenges(asked.sid).update(auth_payload=wrong).status == "pending"
    assert who.challenges(asked.sid).update(auth_payload=code(1)).status == "approved"
    assert error(who.challenges(asked.sid).update, auth_payload=code(1)) == (403, 60322)
    assert who.challenges.create(factor_sid=made.sid, auth_payload=code(1)).status == "pending"
    assert who.challenges(asked.sid).fetch().date_responded is not None
    assert [each.status for each in who.challenges.list(page_size=1)] == ["approved", "pending"]
    assert [each.sid for each in who.challenges.list(status="approved", order="desc")] == [asked.sid]
    late = who.challenges.create(factor_sid=made.sid)
    for _ in range(5):
        who.challenges(late.sid).update(auth_payload=wrong)
    assert error(who.challenges(late.sid).update, auth_payload=wrong) == (429, 60308)
    assert error(who.new_factors.create, friendly_name="Ann", factor_type="push") == (400, 60204)
    assert [each.sid for each in who.factors.list()] == [made.sid]
    listed = twilio.verify.v2.services(SERVICE).entities.list(page_size=20)
    assert who.fetch().sid in {each.sid for each in listed}
    assert who.factors(made.sid).delete() is True
    assert error(who.factors(made.sid).fetch) == (404, 20404)


def test_every_field_that_the_sdk_reads_is_there(twilio: Client, running: RunningServer) -> None:
    """Its types are made of Twilio's public document."""
    service = twilio.verify.v2.services(SERVICE)
    made = service.verifications.create(to=a_number(), channel="sms")
    attempt = twilio.verify.v2.verification_attempts.list(verification_sid=made.sid)[0]
    limit = service.rate_limits.list()[0]
    bucket = service.rate_limits(limit.sid).buckets.list()[0]
    of_service = f"/v2/Services/{SERVICE}"
    who = service.entities(secrets.token_hex(16))
    app = who.new_factors.create(friendly_name="Ann", factor_type="totp")
    who.factors(app.sid).update(auth_payload=pyotp.TOTP(app.binding["secret"]).at(app.date_created))
    of_entity = f"{of_service}/Entities/{app.identity}"
    challenge = who.challenges.create(factor_sid=app.sid)
    whole(who.fetch(), running, of_entity)
    whole(who.factors(app.sid).fetch(), running, f"{of_entity}/Factors/{app.sid}")
    whole(challenge, running, f"{of_entity}/Challenges/{challenge.sid}")
    whole(service.fetch(), running, of_service)
    whole(made, running, f"{of_service}/Verifications/{made.sid}")
    whole(attempt, running, f"/v2/Attempts/{attempt.sid}")
    whole(limit, running, f"{of_service}/RateLimits/{limit.sid}")
    whole(bucket, running, f"{of_service}/RateLimits/{limit.sid}/Buckets/{bucket.sid}")


def test_the_sdk_for_node_does_the_same(running: RunningServer, tmp_path: Path) -> None:
    """A script with Twilio's package for Node: create, wrong, right, errors, a cancel, a list over its pages."""
    script = Path(__file__).parent / "twilio" / "sdk.cjs"
    env = os.environ | {"NODE_PATH": str(NODE / "node_modules")}
    words = [str(script), running.server.url, ACCOUNT, running.server.api_key, SERVICE, a_number(), a_number()]
    done = subprocess.run(["node", *words], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "created": "pending",
        "wrong": ["pending", False],
        "right": ["approved", True],
        "again": [404, 20404],
        "fetched": "pending",
        "canceled": "canceled",
        "early": [429, 20429],
        "invalid": [400, 60200],
        "unknown": [401, 20003],
        "first": SERVICE,
        "deleted": [True, True],
        "enrolled": ["unverified", "unverified", "verified"],
        "asked": ["pending", "pending", "approved"],
        "responded": [403, 60322],
        "entity": [True, [404, 20404]],
    }


def blocks() -> list[str]:
    """The Python of the page for who comes from Twilio."""
    page = (Path(__file__).parents[2] / "docs" / "from-twilio.md").read_text("utf-8")
    return re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def test_the_rehearsal_of_the_page_loses_no_code(
    running: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lines as printed, with two services for the two sides; the percentage goes up and down between every create
    and its check, in four threads at once."""
    old = start_server(tmp_path / "old")
    try:
        monkeypatch.chdir(tmp_path)
        for name, of in ((".verify-old", old), (".verify", running)):
            Path(name).mkdir()
            Path(name, "api-key").write_text(of.server.api_key)
        lines = "\n".join(blocks()).replace("http://127.0.0.1:8081", old.server.url)
        Path("rehearsal.py").write_text(lines.replace("http://127.0.0.1:8080", running.server.url))
        both = runpy.run_path("rehearsal.py")["both"]
        inboxes = [VerifyInbox(VerifyClient(of.server)) for of in (old, running)]
        steps = itertools.cycle((0, 50, 100, 50))

        def code(to: str) -> str:
            until(lambda: any(inbox.messages(to) for inbox in inboxes), "the message")
            return next(str(each["code"]) for inbox in inboxes for each in inbox.messages(to))

        def login(to: str) -> tuple[str, bool, bool]:
            both.percent = next(steps)
            made = both.create(to)
            both.percent = next(steps)
            return made.status, both.check(to, "000000"), both.check(to, code(to))

        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(login, [a_number() for _ in range(40)]))
        assert found == [("pending", False, True)] * 40
    finally:
        old.stop()
