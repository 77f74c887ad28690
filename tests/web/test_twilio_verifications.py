"""Twilio Verify's API: verifications and their checks, on the very service that the native API has."""

import base64
import re
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.support.bench import ManualClock, wrong
from tests.support.contract import LocalClient, a_number
from tests.support.twilio import CHECK, VERIFICATION, Twilio
from verify_service.asking import StartFields
from verify_service.codes import api_key_digest
from verify_service.store import Store

SHOP, OTHER = "VA" + "5" * 32, "VA" + "7" * 32
ACCOUNT = "AC" + "a" * 32
KEY, ADMIN, READ = (f"vk_acme_{name:_<43}" for name in ("verify", "admin", "read"))
TOML = f"""
[providers.fake-a]
kind = "fake"
[tenants.acme]
account_sid = "{ACCOUNT}"
api_keys = [
  {{ digest = "{api_key_digest(KEY)}", scopes = ["verify"] }},
  {{ digest = "{api_key_digest(ADMIN)}", scopes = ["verify", "admin"] }},
  {{ digest = "{api_key_digest(READ)}", scopes = ["read"] }},
]
[[tenants.acme.services]]
sid = "{SHOP}"
name = "Acme Shop"
code_length = 8
[[tenants.acme.services]]
sid = "{OTHER}"
purpose = "payment"
[[routes]]
channel = "sms"
via = [{{ provider = "fake-a" }}]
[[routes]]
channel = "voice"
via = [{{ provider = "fake-a" }}]
"""
POLICY = """
[code]
cooldown = ["30 seconds"]
sends = 2
[countries]
deny = ["FR"]
[line_types]
deny = ["voip"]
[block]
prefixes = ["+4477"]
[[limit]]
name = "number"
of = ["number"]
allow = "4/hour"
[[limit]]
name = "ip"
of = ["ip"]
allow = "1/hour"
[[limit]]
name = "guesses"
of = ["number"]
allow = "7/hour; 20/day"
counts = "wrong-codes"
"""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def client(quiet: Store, clock: ManualClock, tmp_path: Path) -> LocalClient:
    toml = tmp_path / "verify.toml"
    toml.write_text(TOML)
    return LocalClient(quiet, clock, POLICY, config_file=toml)


@pytest.fixture
def twilio(client: LocalClient) -> Twilio:
    """The tenant `default`, which is in no file: all its SIDs are derived."""
    return Twilio(client)


@pytest.fixture
def acme(client: LocalClient) -> Twilio:
    return Twilio(client, "acme", KEY)


def test_a_verification_is_created_and_checked(twilio: Twilio) -> None:
    """Every field of the public document; a wrong code is an answer, a right one is good once."""
    to = a_number()
    made = twilio.create(to)
    assert made.keys() == VERIFICATION
    assert re.fullmatch("VE[0-9a-f]{32}", made["sid"])
    assert re.fullmatch("VL[0-9a-f]{32}", made["send_code_attempts"][0].pop("attempt_sid"))
    assert made | {"sid": ""} == {
        "sid": "",
        "service_sid": twilio.service,
        "account_sid": twilio.account,
        "to": to,
        "channel": "sms",
        "status": "pending",
        "valid": False,
        "lookup": {},
        "amount": None,
        "payee": None,
        "send_code_attempts": [{"time": "2027-01-15T08:00:00Z", "channel": "SMS"}],
        "date_created": "2027-01-15T08:00:00Z",
        "date_updated": "2027-01-15T08:00:00Z",
        "sna": None,
        "url": f"http://localhost/v2/Services/{twilio.service}/Verifications/{made['sid']}",
    }
    code = twilio.code(made["sid"])
    missed = twilio.check(wrong(code), To=to)
    assert missed.keys() == CHECK
    assert (missed["status"], missed["valid"], missed["to"]) == ("pending", False, to)
    right = twilio.check(code, To=to)
    assert right == missed | {"status": "approved", "valid": True}
    assert twilio.refused("POST", "/Services/{}/VerificationCheck", {"Code": code, "To": to}) == (404, 20404)
    assert twilio.said["message"] == (
        f"The requested resource /Services/{twilio.service}/VerificationCheck was not found"
    )


def test_a_number_is_found_whose_plus_was_sent_as_it_is(twilio: Twilio) -> None:
    """As `curl -d To=+…` does: in a form it is a space."""
    to = a_number()
    status, made = twilio.call("POST", "/Services/{}/Verifications", f"To={to}&Channel=sms".encode())
    assert (status, made["to"]) == (201, to)
    body = f"To={to}&Code={twilio.code(made['sid'])}".encode()
    assert twilio.call("POST", "/Services/{}/VerificationCheck", body)[1]["valid"] is True


@pytest.mark.parametrize("named", ["To", "VerificationSid"])
def test_a_check_says_what_it_was_about(twilio: Twilio, named: str) -> None:
    """By number or by SID the answer is the same, recipient and channel included."""
    to = a_number()
    sid = twilio.create(to, "call")["sid"]
    found = twilio.check(twilio.code(sid), **{named: to if named == "To" else sid})
    assert (found["sid"], found["to"], found["channel"], found["valid"]) == (sid, to, "call", True)


def test_a_code_of_one_api_is_checked_by_the_other(twilio: Twilio) -> None:
    """Both ways: they are one service."""
    native = twilio.client.start(a_number())
    code = twilio.code(f"VE{native['id'][3:]}")
    assert twilio.check(code, VerificationSid=f"VE{native['id'][3:]}")["valid"] is True
    made = twilio.create(a_number())
    answer = twilio.client.check(id=f"ve_{made['sid'][2:]}", code=twilio.code(made["sid"]))
    assert answer["approved"] is True


def test_a_start_and_a_check_are_one_round_trip(twilio: Twilio) -> None:
    """As the native ones are, by number and by SID."""
    link, to = twilio.client.store.link, a_number()
    before = link.round_trips
    sid = twilio.create(to)["sid"]
    code = twilio.code(sid)
    made = link.round_trips
    twilio.check(wrong(code), To=to)
    twilio.check(code, VerificationSid=sid)
    assert (made - before, link.round_trips - made) == (1, 2)


def test_a_second_create_sends_the_same_code_again(twilio: Twilio, clock: ManualClock) -> None:
    """The same SID; its messages are told one by one, each by its channel; too early is 20429, one too many 60203."""
    to = a_number()
    first = twilio.create(to)
    form = {"To": to, "Channel": "call"}
    assert twilio.refused("POST", "/Services/{}/Verifications", form) == (429, 20429)
    assert (twilio.headers["Retry-After"], twilio.said["details"]["retry_after"]) == ("30", 30)
    clock.advance(30)
    second = twilio.create(to, "call")
    assert (second["sid"], second["channel"]) == (first["sid"], "call")
    assert [(each["time"], each["channel"]) for each in second["send_code_attempts"]] == [
        ("2027-01-15T08:00:00Z", "SMS"),
        ("2027-01-15T08:00:30Z", "CALL"),
    ]
    assert second["send_code_attempts"][0] == first["send_code_attempts"][0]
    clock.advance(30)
    assert twilio.refused("POST", "/Services/{}/Verifications", form) == (429, 60203)
    assert twilio.said["details"]["retry_after"] == 540


def test_a_pending_verification_is_fetched_by_sid_and_by_number(twilio: Twilio) -> None:
    """With a raw + in the path, and with an encoded one; one that has ended is none."""
    to = a_number()
    made = twilio.create(to)
    for ref in (made["sid"], to, to.replace("+", "%2B")):
        assert twilio.call("GET", f"/Services/{{}}/Verifications/{ref}") == (200, made)
    assert twilio.check(twilio.code(made["sid"]), To=to)["valid"] is True
    for ref in (made["sid"], to):
        assert twilio.refused("GET", f"/Services/{{}}/Verifications/{ref}") == (404, 20404)


@pytest.mark.parametrize("status", ["canceled", "approved"])
def test_a_pending_verification_is_ended_by_its_caller(twilio: Twilio, status: str) -> None:
    """By SID or number, once; its code is worthless then, and the native API tells how it ended."""
    to = a_number()
    sid = twilio.create(to)["sid"]
    code = twilio.code(sid)
    found = twilio.call("POST", f"/Services/{{}}/Verifications/{to}", {"Status": status})
    assert (found[0], found[1]["status"], found[1]["valid"]) == (200, status, status == "approved")
    assert twilio.refused("POST", f"/Services/{{}}/Verifications/{sid}", {"Status": status}) == (404, 20404)
    assert twilio.refused("POST", "/Services/{}/VerificationCheck", {"Code": code, "To": to}) == (404, 20404)
    assert twilio.client.status(f"ve_{sid[2:]}")["status"] == status


def test_spent_checks_are_60202(twilio: Twilio) -> None:
    """The fifth wrong code is compared, the sixth is not."""
    to = a_number()
    code = twilio.code(twilio.create(to)["sid"])
    said = [twilio.check(wrong(code), To=to)["status"] for _ in range(5)]
    assert said == ["pending"] * 4 + ["max_attempts_reached"]
    assert twilio.refused("POST", "/Services/{}/VerificationCheck", {"Code": code, "To": to}) == (429, 60202)


def test_amount_and_payee_are_the_terms_of_a_code(twilio: Twilio) -> None:
    """The check must bring the same, and both belong together."""
    to, terms = a_number(), {"Amount": "12.00", "Payee": "Acme"}
    made = twilio.create(to, **terms)
    assert (made["amount"], made["payee"]) == ("12.00", "Acme")
    code = twilio.code(made["sid"])
    assert twilio.check(code, To=to)["valid"] is False
    assert twilio.check(code, To=to, Amount="13.00", Payee="Acme")["valid"] is False
    half = {"Code": code, "To": to, "Amount": "12.00"}
    assert twilio.refused("POST", "/Services/{}/VerificationCheck", half) == (400, 60206)
    assert twilio.check(code, To=to, **terms)["valid"] is True


def test_codes_of_two_services_never_cross(acme: Twilio) -> None:
    """Neither by number nor by SID, nor does a try in the wrong service count."""
    to = a_number()
    sid = acme.create(to)["sid"]
    code = acme.code(sid, digits=8)
    path = f"/Services/{OTHER}/VerificationCheck"
    for named in ({"To": to}, {"VerificationSid": sid}):
        assert acme.refused("POST", path, {"Code": code, **named}) == (404, 20404)
    assert acme.refused("GET", f"/Services/{OTHER}/Verifications/{sid}") == (404, 20404)
    assert acme.refused("POST", f"/Services/{OTHER}/Verifications/{sid}", {"Status": "canceled"}) == (404, 20404)
    assert acme.client.service.status("acme", f"ve_{sid[2:]}").checks_left == 5
    assert acme.check(code, VerificationSid=sid)["valid"] is True


def test_a_service_has_its_name_and_its_length_of_code(acme: Twilio) -> None:
    """Whichever API starts it."""
    to = a_number()
    acme.create(to)
    outbox: Any = acme.client.store.link.client()
    part = acme.client.store.verifications.partition(acme.client.service._tagger.number(to))
    (_, entry), *_ = outbox.xrevrange(f"vs:{{{part}}}:outbox", count=1)
    assert b"Acme Shop" in entry[b"message"]
    assert len(acme.code(acme.create(a_number())["sid"], digits=8)) == 8
    ours = acme.client.service
    started = ours.start("acme", ours.parse_start(StartFields(to=a_number())))
    code = acme.code(f"VE{started.id[3:]}", digits=8)
    assert acme.check(code, VerificationSid=f"VE{started.id[3:]}")["valid"] is True


def test_no_tenant_has_anothers_services_or_verifications(twilio: Twilio, acme: Twilio) -> None:
    """On every path that names one."""
    sid = acme.create(a_number())["sid"]
    for method, path, form in (
        ("POST", f"/Services/{SHOP}/Verifications", {"To": a_number(), "Channel": "sms"}),
        ("POST", f"/Services/{SHOP}/VerificationCheck", {"Code": "123456", "VerificationSid": sid}),
        ("POST", "/Services/{}/VerificationCheck", {"Code": "123456", "VerificationSid": sid}),
        ("GET", f"/Services/{SHOP}/Verifications/{sid}", None),
        ("GET", f"/Services/{{}}/Verifications/{sid}", None),
        ("POST", f"/Services/{{}}/Verifications/{sid}", {"Status": "canceled"}),
        ("GET", f"/Services/{SHOP}", None),
        ("DELETE", f"/Services/{SHOP}", None),
        ("GET", f"/Services/{SHOP}/RateLimits", None),
    ):
        with twilio.spending_nothing():
            assert twilio.refused(method, path, form) == (404, 20404)
    assert acme.client.service.status("acme", f"ve_{sid[2:]}").status == "pending"


@pytest.mark.parametrize(
    ("form", "answer"),
    [
        ({"To": "+33612345678", "Channel": "sms"}, (403, 60605)),
        ({"To": "+447712345678", "Channel": "sms"}, (403, 60410)),
        ({"To": "+445611234567", "Channel": "sms"}, (403, 60205)),
        ({"To": "+1415555", "Channel": "sms"}, (400, 60200)),
        ({"To": "a pigeon", "Channel": "sms"}, (400, 60200)),
        ({"To": "+14155552671"}, (400, 60200)),
        ({"Channel": "sms"}, (400, 60200)),
        ({"To": "+14155552671", "Channel": "pigeon"}, (400, 60200)),
        ({"To": "+14155552671", "Channel": "sna"}, (400, 60204)),
        ({"To": "+14155552671", "Channel": "sms", "CustomCode": "123456"}, (400, 60204)),
        ({"To": "+14155552671", "Channel": "sms", "TemplateSid": "HJ" + "0" * 32}, (400, 60204)),
        ({"To": "+14155552671", "Channel": "sms", "Amount": "1"}, (400, 60206)),
        ({"To": "+14155552671", "Channel": "sms", "Locale": "../en"}, (400, 60200)),
        ({"To": "+14155552671", "Channel": "sms", "AppHash": "short"}, (400, 60200)),
        ({"To": "+14155552671", "Channel": "sms", "DeviceIp": "300.0.0.1"}, (400, 60200)),
        ({"To": "+14155552671", "Channel": "sms", "RateLimits": "end_user=1"}, (400, 60200)),
        ({"To": "+14155552671", "Channel": "sms", "RateLimits": '["a"]'}, (400, 60200)),
        ({"To": "+14155552671", "Channel": "sms", "CustomFriendlyName": "code 123456"}, (400, 60200)),
        ({"To": "+14155552671", "Channel": "sms", "CustomFriendlyName": "evil.example"}, (400, 60200)),
        ({"To": "+14155552671", "Channel": "sms", "RiskCheck": "off"}, (400, 60200)),
        ({"To": "+14155552671", "Channel": "sms", "Ammount": "12.00"}, (400, 60200)),
    ],
)
def test_what_is_wrong_with_a_create_has_its_number(
    twilio: Twilio, form: dict[str, str], answer: tuple[int, int]
) -> None:
    """And the message names the parameter as Twilio does."""
    assert twilio.refused("POST", "/Services/{}/Verifications", form) == answer
    assert not re.search(r"`(to|ip|app_hash|locale|binding|keys)`", twilio.said["message"])


def test_limits_have_their_numbers(twilio: Twilio, clock: ManualClock) -> None:
    """Of one recipient: budgets of sends and of checks. Of anything else: too many requests."""
    to, path = a_number(), "/Services/{}/Verifications"
    for _ in range(4):
        twilio.call("POST", f"{path}/{twilio.create(to)['sid']}", {"Status": "canceled"})
    assert twilio.refused("POST", path, {"To": to, "Channel": "sms"}) == (429, 60203)
    assert twilio.said["details"]["limit"] == "number"
    assert twilio.headers["Retry-After"] == "3601"
    twilio.create(a_number(), DeviceIp="192.0.2.77")
    assert twilio.refused("POST", path, {"To": a_number(), "Channel": "sms", "DeviceIp": "192.0.2.77"}) == (429, 20429)
    typed = a_number()
    for tries in (5, 2):
        sid = twilio.create(typed)["sid"]
        for _ in range(tries):
            twilio.check("000000", VerificationSid=sid)
        if tries == 5:
            clock.advance(601)
    assert twilio.refused("POST", "/Services/{}/VerificationCheck", {"Code": "000000", "To": typed}) == (429, 60202)
    assert twilio.said["details"]["limit"] == "guesses"


def test_who_has_opted_out_is_21610(twilio: Twilio) -> None:
    to = a_number()
    twilio.client.request("PUT", f"/consents/{to}", {"state": "out"})
    assert twilio.refused("POST", "/Services/{}/Verifications", {"To": to, "Channel": "sms"}) == (400, 21610)


def test_risk_check_is_disabled_only_by_an_admin(acme: Twilio) -> None:
    form = {"To": a_number(), "Channel": "sms", "RiskCheck": "disable"}
    assert acme.refused("POST", "/Services/{}/Verifications", form) == (403, 20403)
    assert Twilio(acme.client, "acme", ADMIN).call("POST", "/Services/{}/Verifications", form)[0] == 201


@pytest.mark.parametrize(
    ("user", "key", "header"),
    [
        (ACCOUNT, "vk_acme_wrong", None),
        ("AC" + "b" * 32, KEY, None),
        ("acme", KEY, None),
        ("", KEY, None),
        (ACCOUNT, "", None),
        (ACCOUNT, KEY, "Bearer"),
        (ACCOUNT, KEY, "Basic !!!"),
        (ACCOUNT, KEY, "Basic w7w="),
    ],
)
def test_wrong_credentials_are_20003(client: LocalClient, user: str, key: str, header: str | None) -> None:
    """And nothing is looked at but them."""
    acme = Twilio(client, "acme", KEY)
    acme.key, acme.account = key, user
    headers = {} if header is None else {"Authorization": header.replace("Bearer", f"Bearer {KEY}")}
    with acme.spending_nothing():
        form = {"To": a_number(), "Channel": "sms"}
        assert acme.refused("POST", "/Services/{}/Verifications", form, headers=headers) == (401, 20003)
    assert acme.headers["WWW-Authenticate"] == 'Basic realm="verify_service"'


def test_any_api_key_sid_is_a_user_and_scopes_hold(client: LocalClient) -> None:
    """The password says whose the call is, and what it may do."""
    acme = Twilio(client, "acme", KEY)
    assert acme.call("GET", "/Services/{}", user="SK" + "0" * 32)[0] == 200
    reader = Twilio(client, "acme", READ)
    form = {"To": a_number(), "Channel": "sms"}
    assert reader.refused("POST", "/Services/{}/Verifications", form) == (403, 20403)
    assert acme.refused("POST", "/Services", {"FriendlyName": "Mine"}) == (403, 20403)
    assert acme.refused("GET", "/Attempts") == (403, 20403)


LONG = b"To=%2B14155552671&Channel=sms&Locale=" + b"e" * 1_000_000
BODIES = {
    "json": (b'{"To": "+14155552671", "Channel": "sms"}', {"Content-Type": "application/json"}, (415, 20415)),
    "multipart": (b"--x", {"Content-Type": "multipart/form-data; boundary=x"}, (415, 20415)),
    "a megabyte": (LONG, {}, (413, 20413)),
    "many fields": (b"&".join(b"a%d=1" % n for n in range(1000)), {}, (400, 60200)),
    "an array": (b"To[]=%2B14155552671&Channel=sms", {}, (400, 60200)),
    "twice": (b"To=%2B14155552671&To=%2B14155552672&Channel=sms", {}, (400, 60200)),
    "no UTF-8": (b"To=%FF%FE&Channel=sms", {}, (400, 60200)),
    "raw bytes": (b"To=\xff\xfe&Channel=sms", {}, (400, 60200)),
    "nothing": (b"", {}, (400, 60200)),
    "zeros": (b"To=%00&Channel=%00", {}, (400, 60200)),
    "deep": (b"To=%2B14155552671&Channel=sms&RateLimits=" + b"[" * 10_000, {}, (400, 60200)),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body_is_refused_and_spends_nothing(twilio: Twilio, name: str) -> None:
    """On each path that takes a form."""
    body, headers, answer = BODIES[name]
    with twilio.spending_nothing():
        for path in (
            *("/Services/{}/Verifications", "/Services/{}/VerificationCheck", "/Services", "/SafeList/Numbers"),
            *("/Services/{}/Entities", "/Services/{}/Entities/someone-1/Factors"),
            "/Services/{}/Entities/someone-1/Challenges",
        ):
            assert twilio.refused("POST", path, body, headers=headers) == answer, path
        of_one = f"/Services/{{}}/Verifications/VE{'0' * 32}"
        assert twilio.refused("POST", of_one, body, headers=headers) == answer


@pytest.mark.parametrize(
    "sid", ["VA", "VA" + "g" * 32, "VA" + "0" * 33, "AC" + "0" * 32, "..", "%00", "VA%2F", "x" * 5000]
)
def test_a_service_that_is_none_is_20404(twilio: Twilio, sid: str) -> None:
    with twilio.spending_nothing():
        for method, path in (
            ("GET", f"/Services/{sid}"),
            ("POST", f"/Services/{sid}/Verifications"),
            ("POST", f"/Services/{sid}/VerificationCheck"),
            ("GET", f"/Services/{sid}/Verifications/VE{'0' * 32}"),
        ):
            form = {"To": "+14155552671", "Channel": "sms"} if path.endswith("Verifications") else None
            form = {"Code": "123456", "To": "+14155552671"} if path.endswith("Check") else form
            assert twilio.refused(method, path, form) == (404, 20404)


@pytest.mark.parametrize("ref", ["VE", "VE" + "G" * 32, "ve_" + "0" * 32, "+1", "+" + "9" * 400, "@", "%00", "a@b"])
def test_a_verification_that_is_none_is_20404(twilio: Twilio, ref: str) -> None:
    with twilio.spending_nothing():
        assert twilio.refused("GET", f"/Services/{{}}/Verifications/{ref}") == (404, 20404)
        assert twilio.refused("POST", f"/Services/{{}}/Verifications/{ref}", {"Status": "canceled"}) == (404, 20404)


def test_what_is_not_here_is_20404_and_another_method_20004(twilio: Twilio) -> None:
    for path in ("/Templates", "/Services/{}/Webhooks", "/Services/{}/AccessTokens/x", "/Forms/x"):
        assert twilio.refused("GET", path) == (404, 20404)
    assert twilio.refused("PUT", "/Services") == (405, 20004)
    assert twilio.headers["Allow"] == "GET, HEAD, POST"


def test_it_is_taken_away_by_the_file(store: Store, clock: ManualClock, tmp_path: Path) -> None:
    """Then its paths are no paths, in the native API's words."""
    toml = tmp_path / "verify.toml"
    toml.write_text('[facades]\ntwilio = false\n[providers.fake-a]\nkind = "fake"\n')
    status, headers, body = LocalClient(store, clock, config_file=toml).request("GET", "/v2/Services")
    assert (status, body["type"]) == (404, "/problems/not-found")
    assert headers["content-type"] == "application/problem+json"


def test_an_approval_has_a_receipt_where_the_tenant_always_has_one(
    store: Store, clock: ManualClock, tmp_path: Path
) -> None:
    """Beside Twilio's own fields, which its SDKs pass over; a wrong code has none."""
    toml = tmp_path / "verify.toml"
    toml.write_text(TOML.replace("[tenants.acme]\n", '[tenants.acme]\nreceipts = "always"\n'))
    seed = base64.b64encode(bytes(32)).decode()
    url = "https://verify.example.com"
    client = LocalClient(store, clock, POLICY, public_url=url, signing_keys=f"s1:{seed}", config_file=toml)
    acme = Twilio(client, "acme", KEY)
    sid = acme.create(a_number())["sid"]
    code = acme.code(sid, digits=8)
    assert acme.check(wrong(code), VerificationSid=sid).keys() == CHECK
    approved = acme.check(code, VerificationSid=sid)
    claims = jwt.decode(approved["receipt"], options={"verify_signature": False})
    assert (approved.keys() - CHECK, claims["jti"], claims["aud"]) == ({"receipt"}, f"ve_{sid[2:]}", "acme")


NET = """
[code]
guess_ceiling = 1.0
[[limit]]
name = "number"
of = ["number"]
allow = "2/hour"
net_of_approved = true
"""


def test_an_approval_by_word_gives_nothing_back(store: Store, clock: ManualClock) -> None:
    """Nobody has proved anything: only a code that was compared gives its start back to a limit."""
    twilio, to = Twilio(LocalClient(store, clock, NET)), a_number()
    for _ in range(3):
        assert twilio.check(twilio.code(twilio.create(to)["sid"]), To=to)["valid"] is True
    for _ in range(2):
        sid = twilio.create(to)["sid"]
        assert twilio.call("POST", f"/Services/{{}}/Verifications/{sid}", {"Status": "approved"})[0] == 200
    assert twilio.refused("POST", "/Services/{}/Verifications", {"To": to, "Channel": "sms"}) == (429, 60203)
