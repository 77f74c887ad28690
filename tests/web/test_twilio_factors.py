"""Twilio Verify's API: entities, their factors, and the challenges that ask for a factor's code."""

import base64
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import pyotp
import pytest

from tests.support.bench import ManualClock
from tests.support.contract import LocalClient
from tests.support.twilio import CHALLENGE, ENTITY, FACTOR, META, NEW_FACTOR, Twilio
from verify_service.store import Store

SHOP, BANK = "VA" + "5" * 32, "VA" + "7" * 32
TOML = f"""
[providers.fake-a]
kind = "fake"
[tenants.default]
brand = "Acme"
[[tenants.default.services]]
sid = "{SHOP}"
[[tenants.default.services]]
sid = "{BANK}"
name = "Acme Bank"
purpose = "payment"
"""
POLICY = """
[code]
guess_ceiling = 1.0
[factors]
guess_ceiling = 1.0
[[limit]]
name = "guesses"
of = ["user"]
allow = "7/hour"
counts = "wrong-codes"
"""
# RFC 6238's own (appendix B): by the tests' clock, each run has the same codes.
SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
NEW = {"FriendlyName": "Ann", "FactorType": "totp"}


class App:
    """What an entity has scanned: its paths, and the codes of its time steps."""

    def __init__(self, twilio: Twilio, clock: ManualClock, **more: str) -> None:
        self.twilio, self.clock = twilio, clock
        self.identity = secrets.token_hex(16)
        self.entity = f"/Services/{{}}/Entities/{self.identity}"
        form = {"FriendlyName": "Ann’s phone", "FactorType": "totp", "Binding.Secret": SECRET, **more}
        status, self.made = twilio.call("POST", f"{self.entity}/Factors", form)
        assert status == 201, self.made
        self.sid = self.made["sid"]
        self.path = f"{self.entity}/Factors/{self.sid}"
        self.otp = pyotp.parse_uri(self.made["binding"]["uri"])

    def code(self, steps: int = 0) -> str:
        assert isinstance(self.otp, pyotp.TOTP)
        return self.otp.at(self.clock.now() // 1000 + steps * self.otp.interval)

    def wrong(self) -> str:
        """A code of no step that is near."""
        near = {self.code(steps) for steps in range(-5, 6)}
        return next(code for code in ("000000", *map(str, range(100_000, 100_020))) if code not in near)

    def verify(self, code: str | None = None) -> Any:
        """The factor after its first code; the next time step has begun."""
        status, body = self.twilio.call("POST", self.path, {"AuthPayload": code or self.code()})
        assert status == 200, body
        self.clock.advance(self.otp.interval if isinstance(self.otp, pyotp.TOTP) else 0)
        return body

    def ask(self, code: str | None = None, **more: str) -> Any:
        """A challenge; with a code it is answered at once."""
        form = {"FactorSid": self.sid, **({"AuthPayload": code} if code else {}), **more}
        status, body = self.twilio.call("POST", f"{self.entity}/Challenges", form)
        assert status == 201, body
        return body

    def answer(self, sid: str, code: str) -> Any:
        status, body = self.twilio.call("POST", f"{self.entity}/Challenges/{sid}", {"AuthPayload": code})
        assert status == 200, body
        return body

    def refused(self, sid: str, code: str) -> Any:
        return self.twilio.refused("POST", f"{self.entity}/Challenges/{sid}", {"AuthPayload": code})


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def twilio(quiet: Store, clock: ManualClock, tmp_path: Path) -> Twilio:
    toml = tmp_path / "verify.toml"
    toml.write_text(TOML)
    return Twilio(LocalClient(quiet, clock, POLICY, config_file=toml))


@pytest.fixture
def app(twilio: Twilio, clock: ManualClock) -> App:
    made = App(twilio, clock)
    assert made.verify()["status"] == "verified"
    return made


def test_a_factor_is_made_and_verified_by_its_first_code(twilio: Twilio, clock: ManualClock) -> None:
    """Every field of the public document; the secret is told once. A wrong code is an answer, and one that is verified
    takes no code any more: its status would call every code right."""
    app = App(twilio, clock, **{"Binding.Secret": ""})
    made = app.made
    assert made.keys() == NEW_FACTOR
    assert len(made["binding"]["secret"]) == 32
    assert made["binding"]["secret"] != App(twilio, clock, **{"Binding.Secret": ""}).made["binding"]["secret"]
    assert made["binding"].keys() == {"secret", "uri"}
    assert made["binding"]["uri"].startswith("otpauth://totp/Acme:Ann")
    shown = {name: value for name, value in made.items() if name in FACTOR}
    assert shown | {"sid": "", "entity_sid": ""} == {
        "sid": "",
        "account_sid": twilio.account,
        "service_sid": SHOP,
        "entity_sid": "",
        "identity": app.identity,
        "date_created": "2027-01-15T08:00:00Z",
        "date_updated": "2027-01-15T08:00:00Z",
        "friendly_name": "Ann’s phone",
        "status": "unverified",
        "factor_type": "totp",
        "config": {"alg": "sha1", "skew": 1, "code_length": 6, "time_step": 30},
        "metadata": None,
        "url": f"http://localhost/v2{app.path.replace('{}', SHOP)}",
    }
    assert twilio.call("GET", app.path) == (200, shown)
    assert twilio.refused("POST", f"{app.entity}/Challenges", {"FactorSid": app.sid}) == (403, 60318)
    assert twilio.call("POST", app.path, {"AuthPayload": app.wrong()}) == (200, shown)
    clock.advance(5)
    assert app.verify() == shown | {"status": "verified", "date_updated": "2027-01-15T08:00:05Z"}
    for code in (app.code(), app.wrong()):
        assert twilio.refused("POST", app.path, {"AuthPayload": code}) == (403, 60311)
    other = twilio.call("POST", f"{app.entity}/Factors", {"FriendlyName": "Tablet", "FactorType": "totp"})[1]
    assert [each["sid"] for each in twilio.call("GET", f"{app.entity}/Factors")[1]["factors"]] == [
        app.sid,
        other["sid"],
    ]
    assert twilio.call("DELETE", app.path) == (204, None)
    for method in ("GET", "DELETE"):
        assert twilio.refused(method, app.path) == (404, 20404)


def test_a_challenge_asks_for_a_code(app: App) -> None:
    """Brought along or later; a code is good once, whichever challenge it is for, and a challenge is approved once."""
    first = app.ask()
    assert first.keys() == CHALLENGE
    assert (first["status"], first["factor_sid"], first["date_responded"]) == ("pending", app.sid, None)
    assert (first["date_created"], first["expiration_date"]) == ("2027-01-15T08:00:30Z", "2027-01-15T08:05:30Z")
    path = f"{app.entity}/Challenges/{first['sid']}"
    assert app.twilio.call("GET", path) == (200, first)
    assert app.answer(first["sid"], app.wrong()) == first
    approved = app.answer(first["sid"], app.code())
    assert approved == first | {
        "status": "approved",
        "date_responded": "2027-01-15T08:00:30Z",
        "date_updated": "2027-01-15T08:00:30Z",
    }
    assert app.refused(first["sid"], app.code(1)) == (403, 60322)
    assert app.ask(app.code())["status"] == "pending"
    assert app.ask(app.wrong())["status"] == "pending"
    assert app.ask(app.code(1))["status"] == "approved"
    listed = app.twilio.call("GET", f"{app.entity}/Challenges")[1]["challenges"]
    assert [each["status"] for each in listed] == ["approved", "pending", "pending", "approved"]
    assert listed[0] == approved
    for query, statuses in (
        ("Order=desc&PageSize=1", ["approved"]),
        ("Status=pending", ["pending", "pending"]),
        ("Status=denied", []),
        (f"FactorSid=YF{'0' * 32}", []),
        (f"FactorSid={app.sid}&Page=1&PageSize=3", ["approved"]),
    ):
        found = app.twilio.call("GET", f"{app.entity}/Challenges?{query}")[1]["challenges"]
        assert [each["status"] for each in found] == statuses, query


def test_a_secret_and_a_form_of_the_callers_own(twilio: Twilio, clock: ManualClock) -> None:
    """RFC 6238's own secret for SHA-256, eight digits, a step of a minute: what was enrolled elsewhere goes on here."""
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZA===="
    config = {"Config.Alg": "sha256", "Config.CodeLength": "8", "Config.TimeStep": "60", "Config.Skew": "1"}
    app = App(twilio, clock, **{"Binding.Secret": secret, **config})
    assert app.made["binding"]["secret"] == secret.rstrip("=")
    assert app.made["config"] == {"alg": "sha256", "skew": 1, "code_length": 8, "time_step": 60}
    assert app.verify()["status"] == "verified"
    assert len(app.code()) == 8
    assert app.ask(app.code())["status"] == "approved"


def test_an_entity_is_there_while_it_was_made_or_has_a_factor(twilio: Twilio, clock: ManualClock) -> None:
    """One that was made and gets no factor is gone after a day."""
    app = App(twilio, clock)
    assert twilio.call("GET", app.entity)[1]["date_created"] == "2027-01-15T08:00:00Z"
    assert twilio.refused("POST", "/Services/{}/Entities", {"Identity": app.identity}) == (409, 60301)
    status, made = twilio.call("POST", "/Services/{}/Entities", {"Identity": "someone-1"})
    assert (status, made.keys(), made["identity"], made["service_sid"]) == (201, ENTITY, "someone-1", SHOP)
    assert made["links"].keys() == {"factors", "new_factors", "challenges"}
    assert made["url"] == f"http://localhost/v2/Services/{SHOP}/Entities/someone-1"
    path = "/Services/{}/Entities/someone-1"
    assert twilio.call("GET", path) == (200, made)
    assert twilio.refused("POST", "/Services/{}/Entities", {"Identity": "someone-1"}) == (409, 60301)
    clock.advance(86_400)
    assert twilio.refused("GET", path) == (404, 20404)
    assert twilio.call("POST", "/Services/{}/Entities", {"Identity": "someone-1"})[0] == 201
    for gone in (path, App(twilio, clock).entity):
        assert twilio.call("DELETE", gone) == (204, None)
        for method in ("GET", "DELETE"):
            assert twilio.refused(method, gone) == (404, 20404)


def test_entities_are_listed_by_pages(alone: Store, clock: ManualClock, tmp_path: Path) -> None:
    """Those of the service that have a factor, whatever else the store has; each page says where the next begins."""
    toml = tmp_path / "verify.toml"
    toml.write_text(TOML)
    twilio = Twilio(LocalClient(alone, clock, POLICY, config_file=toml))
    apps = {app.identity: app for app in (App(twilio, clock) for _ in range(40))}
    other = App(twilio, clock)
    for path in (other.entity.replace("{}", BANK), "/Services/{}/Entities/no-factor"):
        form = NEW if path.startswith(f"/Services/{BANK}") else {"Identity": "no-factor"}
        where = f"{path}/Factors" if form is NEW else "/Services/{}/Entities"
        assert twilio.call("POST", where, form)[0] == 201
    assert twilio.call("DELETE", other.entity) == (204, None)
    twilio.client.request("POST", "/users/of-the-native-api/factors", {"kind": "totp"})
    found: dict[str, Any] = {}
    path, pages = "/Services/{}/Entities?PageSize=4", 0
    while path:
        status, body = twilio.call("GET", path)
        assert (status, body.keys(), body["meta"].keys()) == (200, {"entities", "meta"}, META)
        found |= {each["identity"]: each for each in body["entities"]}
        after = body["meta"]["next_page_url"]
        path, pages = after and urlsplit(after)._replace(scheme="", netloc="").geturl().removeprefix("/v2"), pages + 1
    assert found.keys() == apps.keys()
    assert pages > 1
    for identity, app in apps.items():
        assert twilio.call("GET", app.entity) == (200, found[identity])
    assert twilio.call("GET", "/Services/{}/Entities?PageToken=7.0")[1]["entities"] == []


def test_erasure_takes_the_challenges_too(app: App) -> None:
    """By the native API, which knows the user by the service's SID and its identity, and gave it no recovery codes:
    nothing is left under the user's tag."""
    redis: Any = app.twilio.client.store.link.client()
    sid, user = app.ask()["sid"], f"{SHOP}:{app.identity}"
    named = f"vs:*:{app.twilio.client.service._tagger.user('default', user)}"
    lives = {key.split(b":")[2]: redis.pttl(key) for key in redis.keys(named)}
    assert {*lives} == {b"user", b"entity"}
    assert lives[b"user"] == -1
    assert 86_000_000 < lives[b"entity"] <= 86_400_000
    seen = app.twilio.client.request("GET", f"/users/{user}")[2]
    assert (len(seen["factors"]), seen["recovery_codes_left"]) == (1, 0)
    assert app.twilio.client.request("DELETE", f"/users/{user}")[0] == 204
    assert redis.keys(named) == []
    assert app.twilio.refused("GET", f"{app.entity}/Challenges/{sid}") == (404, 20404)


def test_users_of_two_services_never_cross(app: App) -> None:
    """Of one identity in another service nothing is known, and a code for one is none for the other."""
    elsewhere = app.entity.replace("{}", BANK)
    sid = app.ask()["sid"]
    code = {"AuthPayload": app.code()}
    for method, path, form in (
        ("GET", "", None),
        ("GET", f"/Factors/{app.sid}", None),
        ("POST", f"/Factors/{app.sid}", code),
        ("DELETE", f"/Factors/{app.sid}", None),
        ("POST", "/Challenges", {"FactorSid": app.sid, **code}),
        ("GET", f"/Challenges/{sid}", None),
        ("POST", f"/Challenges/{sid}", code),
        ("DELETE", "", None),
    ):
        with app.twilio.spending_nothing():
            assert app.twilio.refused(method, elsewhere + path, form) == (404, 20404)
    assert app.twilio.call("GET", f"{elsewhere}/Factors")[1]["factors"] == []
    assert app.twilio.call("GET", f"{elsewhere}/Challenges")[1]["challenges"] == []
    other = app.twilio.call("POST", f"{elsewhere}/Factors", {"FriendlyName": "Ann", "FactorType": "totp"})[1]
    assert other["binding"]["uri"].startswith("otpauth://totp/Acme%20Bank:Ann")
    assert other["entity_sid"] != app.made["entity_sid"]
    assert app.answer(sid, app.code())["status"] == "approved"


def test_a_challenge_is_answered_five_times(app: App) -> None:
    """Then no code is compared, not even the right one, until the challenge ends: 60308, and when that is."""
    sid = app.ask()["sid"]
    for _ in range(5):
        assert app.answer(sid, app.wrong())["status"] == "pending"
    app.clock.advance(10)
    assert app.refused(sid, app.code()) == (429, 60308)
    assert (app.twilio.headers["Retry-After"], app.twilio.said["details"]) == (
        "290",
        {"retry_after": 290, "limit": "challenge"},
    )
    assert app.ask(app.code())["status"] == "approved"


def test_a_users_wrong_codes_are_limited_over_all_challenges(app: App, clock: ManualClock) -> None:
    """By the policy: 60308 of a challenge, 60310 of a factor that is to be verified; a challenge that is refused so is
    none, and each says when a code can be compared again."""
    for _ in range(7):
        assert app.ask(app.wrong())["status"] == "pending"
    form = {"FactorSid": app.sid, "AuthPayload": app.code()}
    assert app.twilio.refused("POST", f"{app.entity}/Challenges", form) == (429, 60308)
    assert app.twilio.headers["Retry-After"] == str(app.twilio.said["details"]["retry_after"])
    assert app.twilio.said["details"]["limit"] == "guesses"
    assert len(app.twilio.call("GET", f"{app.entity}/Challenges")[1]["challenges"]) == 7
    sid = app.ask()["sid"]
    assert app.refused(sid, app.code()) == (429, 60308)
    other = app.twilio.call("POST", f"{app.entity}/Factors", {"FriendlyName": "Tablet", "FactorType": "totp"})[1]
    code = pyotp.TOTP(other["binding"]["secret"]).at(clock.now() // 1000)
    path = f"{app.entity}/Factors/{other['sid']}"
    assert app.twilio.refused("POST", path, {"AuthPayload": code}) == (429, 60310)
    clock.advance(int(app.twilio.headers["Retry-After"]))
    assert app.ask(app.code())["status"] == "approved"


def test_a_challenge_ends_in_time(app: App, clock: ManualClock) -> None:
    """After five minutes, or when it was told to, at most an hour; after a day nobody knows of it."""
    short, sid = app.ask(ExpirationDate="2027-01-15T08:01:00Z"), app.ask()["sid"]
    assert short["expiration_date"] == "2027-01-15T08:01:00Z"
    clock.advance(30)
    assert app.refused(short["sid"], app.code()) == (403, 60323)
    assert app.twilio.call("GET", f"{app.entity}/Challenges?Status=expired")[1]["challenges"] == [
        short | {"status": "expired"}
    ]
    assert app.answer(sid, app.code())["status"] == "approved"
    clock.advance(86_400)
    assert app.twilio.call("GET", f"{app.entity}/Challenges")[1]["challenges"] == []
    assert app.refused(sid, app.code()) == (404, 20404)


def test_of_many_right_codes_at_once_one_approves(app: App) -> None:
    """For one challenge, of two time steps, and for as many challenges as there are codes."""
    sid = app.ask()["sid"]
    challenges = [app.ask()["sid"] for _ in range(20)]

    def answered(asked: tuple[str, int]) -> tuple[int, str]:
        caller = Twilio(app.twilio.client)
        code = {"AuthPayload": app.code(asked[1])}
        status, body = caller.call("POST", f"{app.entity}/Challenges/{asked[0]}", code)
        return status, body["status"] if status == 200 else body["code"]

    with ThreadPoolExecutor(8) as pool:
        steps = [*pool.map(answered, [(sid, step) for _ in range(10) for step in (0, 1)])]
        app.clock.advance(60)
        once = [*pool.map(answered, [(each, 0) for each in challenges])]
    assert steps.count((200, "approved")) == 1
    assert {said for _, said in steps} <= {"approved", "pending", 60322, 60308}
    assert sorted(once) == [(200, "approved"), *[(200, "pending")] * 19]


def test_the_challenges_of_a_user_have_an_end(app: App) -> None:
    """A hundred are kept; the oldest gives way."""
    first = app.ask()["sid"]
    for _ in range(100):
        last = app.ask()["sid"]
    assert app.twilio.refused("GET", f"{app.entity}/Challenges/{first}") == (404, 20404)
    assert len(app.twilio.call("GET", f"{app.entity}/Challenges?PageSize=200")[1]["challenges"]) == 100
    assert app.answer(last, app.code())["status"] == "approved"


def test_an_approval_has_a_receipt_where_the_tenant_always_has_one(
    quiet: Store, clock: ManualClock, tmp_path: Path
) -> None:
    """Brought along or later, beside Twilio's own fields, which its SDKs pass over; a wrong code has none."""
    toml = tmp_path / "verify.toml"
    toml.write_text(TOML.replace('brand = "Acme"', 'receipts = "always"'))
    seed, url = base64.b64encode(bytes(32)).decode(), "https://verify.example.com"
    client = LocalClient(quiet, clock, POLICY, public_url=url, signing_keys=f"s1:{seed}", config_file=toml)
    app = App(Twilio(client), clock)
    app.verify()
    sid = app.ask(app.wrong())["sid"]
    for approved in (app.answer(sid, app.code()), app.ask(app.code(1))):
        assert approved.keys() - CHALLENGE == {"receipt"}
        claims = jwt.decode(approved["receipt"], options={"verify_signature": False})
        assert (claims["aud"], claims["amr"]) == ("default", ["otp"])


BAD: list[tuple[str, dict[str, str], tuple[int, int]]] = [
    ("/Factors", {"FactorType": "totp"}, (400, 60200)),
    ("/Factors", {"FriendlyName": "Ann"}, (400, 60200)),
    ("/Factors", NEW | {"FactorType": "hotp"}, (400, 60200)),
    ("/Factors", NEW | {"FactorType": "push"}, (400, 60204)),
    ("/Factors", NEW | {"FactorType": "passkeys"}, (400, 60204)),
    ("/Factors", NEW | {"FactorType": "push", "Binding.PublicKey": "x", "Config.AppId": "a"}, (400, 60204)),
    ("/Factors", NEW | {"Config.AppId": "a"}, (400, 60200)),
    ("/Factors", NEW | {"FriendlyName": "x" * 65}, (400, 60200)),
    ("/Factors", NEW | {"FriendlyName": "a\nb"}, (400, 60200)),
    ("/Factors", NEW | {"FriendlyName": "a:b"}, (400, 60200)),
    ("/Factors", NEW | {"Config.CodeLength": "5"}, (400, 60200)),
    ("/Factors", NEW | {"Config.CodeLength": "9"}, (400, 60200)),
    ("/Factors", NEW | {"Config.TimeStep": "19"}, (400, 60200)),
    ("/Factors", NEW | {"Config.TimeStep": "-30"}, (400, 60200)),
    ("/Factors", NEW | {"Config.Alg": "md5"}, (400, 60200)),
    ("/Factors", NEW | {"Config.Skew": "2"}, (400, 60204)),
    ("/Factors", NEW | {"Binding.Secret": "GEZDGNBV"}, (400, 60200)),
    ("/Factors", NEW | {"Binding.Secret": "not base32 at all, whatever it is"}, (400, 60200)),
    ("/Factors", NEW | {"Binding.Secret": "é" * 32}, (400, 60200)),
    ("/Factors", NEW | {"Binding.Secret": "A" * 216}, (400, 60200)),
    ("/Factors", NEW | {"Secret": "GEZDGNBV"}, (400, 60200)),
    ("/Factors/{factor}", {}, (400, 60200)),
    ("/Factors/{factor}", {"AuthPayload": "12345"}, (400, 60200)),
    ("/Factors/{factor}", {"AuthPayload": "7kq4m-x2p9d"}, (400, 60200)),
    ("/Factors/{factor}", {"AuthPayload": "123456", "FriendlyName": "Bea"}, (400, 60204)),
    ("/Factors/{factor}", {"Config.TimeStep": "60"}, (400, 60204)),
    ("/Factors/YFx", {"AuthPayload": "123456"}, (404, 20404)),
    ("/Challenges", {}, (400, 60200)),
    ("/Challenges", {"FactorSid": "YFx"}, (400, 60200)),
    ("/Challenges", {"FactorSid": "YF" + "0" * 32}, (404, 20404)),
    ("/Challenges", {"FactorSid": "{factor}", "AuthPayload": "7kq4m-x2p9d"}, (400, 60200)),
    ("/Challenges", {"FactorSid": "{factor}", "ExpirationDate": "2027-01-15T08:00:00Z"}, (400, 60200)),
    ("/Challenges", {"FactorSid": "{factor}", "ExpirationDate": "2027-01-15T09:30:00Z"}, (400, 60200)),
    ("/Challenges", {"FactorSid": "{factor}", "ExpirationDate": "soon"}, (400, 60200)),
    ("/Challenges/YCx", {"AuthPayload": "123456"}, (404, 20404)),
    ("/Challenges/YC" + "0" * 32, {"AuthPayload": "123456"}, (404, 20404)),
    ("/Challenges/YC" + "0" * 32, {}, (400, 60200)),
    ("/Challenges/YC" + "0" * 32 + "/Notifications", {}, (400, 60204)),
]


def test_what_is_wrong_has_its_number_and_spends_nothing(app: App) -> None:
    """On every path, and for identities that are none; nothing is counted or written."""
    with app.twilio.spending_nothing():
        for path, form, answer in BAD:
            given = {name: value.replace("{factor}", app.sid) for name, value in form.items()}
            found = app.twilio.refused("POST", app.entity + path.replace("{factor}", app.sid), given)
            assert found == answer, (path, form)
        for identity in ("short", "x" * 65, "under_score", "-dashes-", "a b c d e f", "%00" * 8, "ä" * 8):
            path = f"/Services/{{}}/Entities/{identity}"
            assert app.twilio.refused("GET", path) == (400, 60200)
            assert app.twilio.refused("POST", "/Services/{}/Entities", {"Identity": identity}) == (400, 60200)
        for query in ("PageToken=x", "PageToken=-1.0", f"PageToken=0.{'9' * 20}", "PageToken=%00", "PageSize=1001"):
            assert app.twilio.refused("GET", f"/Services/{{}}/Entities?{query}") == (400, 60200)
        assert app.twilio.refused("GET", f"/Services/VA{'0' * 32}/Entities") == (404, 20404)
        for query in ("Status=open", "Order=up", "PageSize=0"):
            assert app.twilio.refused("GET", f"{app.entity}/Challenges?{query}") == (400, 60200)


def test_an_entity_has_as_many_factors_as_the_policy_says(app: App) -> None:
    """60315 beyond that, where all of them are verified."""
    for _ in range(4):
        status, made = app.twilio.call("POST", f"{app.entity}/Factors", NEW)
        assert status == 201
        code = pyotp.TOTP(made["binding"]["secret"]).at(app.clock.now() // 1000)
        path = f"{app.entity}/Factors/{made['sid']}"
        assert app.twilio.call("POST", path, {"AuthPayload": code})[1]["status"] == "verified"
    assert app.twilio.refused("POST", f"{app.entity}/Factors", NEW) == (400, 60315)
