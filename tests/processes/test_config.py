"""`verify.toml`: what an operator may write, and one line that names the key for what cannot be used."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from verify_service import config, services
from verify_service.codes import api_key_digest
from verify_service.config import Principal
from verify_service.errors import ConfigError
from verify_service.providers.webhook import WebhookSettings
from verify_service.routing import Via

FAKE = '[providers.fake-a]\nkind = "fake"\n'
HOOK = '[providers.hook]\nkind = "webhook"\nurl = "https://sms.example.com/send"\nsecret = "env:HOOK_SECRET"\n'
TWILIO = f'[providers.twilio]\nkind = "twilio"\naccount = "AC{32 * "0"}"\nauth_token = "env:TWILIO"\n'
SHORT = '[senders.short]\ntype = "short-code"\naddress = "43721"\n'
DIGEST = api_key_digest("vk_acme_0123456789abcdef")

WHOLE = f"""
allow_fake = true
allow_test_numbers = true

[tenants.acme]
brand = "Acme"
api_keys = [{{ digest = "{DIGEST}", scopes = ["verify", "read"] }}]

[tenants.blue-bicycle]

{FAKE}
[providers.hook]
kind = "webhook"
url = "https://sms.example.com/send"
secret = "env:HOOK_SECRET"
timeout = "2 seconds"

[senders.short]
type = "short-code"
address = "43721"
per_second = 100
countries = ["US"]

[[routes]]
countries = ["*"]
channel = "sms"
via = [{{ provider = "fake-a", sender = "short", weight = 90 }}, {{ provider = "hook", weight = 10 }}]

[[routes]]
countries = ["DE", "AT"]
via = [{{ provider = "hook" }}]

[[test_numbers]]
match = "+1415555*"
code = "123456"
until = 2027-01-01
"""


def load(folder: Path, text: str, api_key: str | None = None) -> config.Config:
    file = folder / "verify.toml"
    file.write_text(text)
    return config.load(file, api_key)


def test_without_a_file_there_is_one_tenant_and_a_fake_provider() -> None:
    """The first look needs no file: `VERIFY_API_KEY` may verify and administer for the tenant `default`."""
    found = config.load(None, "vk_default_0123456789")
    assert found.fake
    assert {name: made.kind for name, made in found.providers.items()} == {"fake-a": "fake"}
    assert found.tenants["default"].brand == "Verify"
    assert dict(found.principals) == {
        api_key_digest("vk_default_0123456789"): Principal("default", frozenset({"verify", "admin"}))
    }
    route = found.route("US", "sms")
    assert route is not None
    assert [via.provider for via in route.via] == ["fake-a"]


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    """Every table of the contract reaches its place."""
    found = load(tmp_path, WHOLE)
    assert (found.tenants["acme"].brand, found.tenants["blue-bicycle"].brand) == ("Acme", "Blue-Bicycle")
    assert dict(found.principals) == {DIGEST: Principal("acme", frozenset({"verify", "read"}))}
    hook = found.providers["hook"].settings
    assert isinstance(hook, WebhookSettings)
    assert (hook.url, hook.secret, hook.timeout.seconds) == ("https://sms.example.com/send", "env:HOOK_SECRET", 2.0)
    assert (found.senders["short"].address, found.senders["short"].per_second) == ("43721", 100)
    assert (numbers := found.test_number("+14155550123", 1_700_000_000_000))
    assert numbers.code == "123456"
    assert found.test_number("+14156550123", 1_700_000_000_000) is None


def test_a_route_that_names_the_country_comes_before_the_general_one(tmp_path: Path) -> None:
    """`*` serves what no other route names, wherever it stands; a channel without a route has none."""
    found = load(tmp_path, WHOLE)
    german, french = found.route("DE", "sms"), found.route("FR", "sms")
    assert german is not None
    assert french is not None
    assert german.via == (Via(provider="hook"),)
    assert [(via.provider, via.sender, via.weight) for via in french.via] == [
        ("fake-a", "short", 90),
        ("hook", None, 10),
    ]
    assert found.route("DE", "voice") is None


def test_what_leaves_no_doubt_is_taken(tmp_path: Path) -> None:
    """A vendor's own id of a sender, a second route where the first has no sender, a provider of one's own without one,
    and a language that is not shipped."""
    found = load(
        tmp_path,
        HOOK
        + SHORT
        + 'countries = ["DE"]\n'
        + f'[senders.pool]\ntype = "long-code"\naddress = "MG{32 * "0"}"\n'
        + '[[routes]]\ncountries = ["US", "DE"]\nvia = [{ provider = "hook", sender = "short" }]\n'
        + '[[routes]]\ncountries = ["US"]\nreceipt_within = "9 seconds"\n'
        + 'via = [{ provider = "hook", sender = "pool" }]\n'
        + '[[routes]]\ncountries = ["CA"]\nvia = [{ provider = "hook" }]\n'
        + '[templates.login]\ncy = "{code} yw eich cod."\n',
    )
    taken = {country: found.route(country, "sms") for country in ("DE", "US", "CA")}
    assert {country: route and route.via[0].sender for country, route in taken.items()} == {
        "DE": "short",
        "US": "pool",
        "CA": None,
    }


def test_the_environment_s_key_joins_the_file_s(tmp_path: Path) -> None:
    """`VERIFY_API_KEY` works beside the keys of the file; a brand of its own stays."""
    text = FAKE + '[tenants.default]\nbrand = "Ours"\n'
    found = load(tmp_path, text, "vk_default_0123456789")
    assert found.tenants["default"].brand == "Ours"
    assert len(found.principals) == 1


BAD = {
    "nothing": ("", r"no \[providers.NAME\]"),
    "deep lists": (FAKE + "a=" + "[" * 900 + "]" * 900, r"nested too deeply"),
    "no TOML": ("tenants = [", r"is not TOML: "),
    "not UTF-8": ("\udcff", r"cannot be read: it is not UTF-8 text$"),
    "an unknown table": (FAKE + "[provider.x]\n", r"unknown field `provider`; did you mean 'providers'\?"),
    "an unknown key": (
        FAKE + "[tenants.acme]\nname = 'x'\n",
        r"unknown field `name` - at `\$\.tenants\.acme`; it is one of account_sid, api_keys, brand, .*webhook$",
    ),
    "a tenant's name": (FAKE + "[tenants.'Acme Inc']\n", r"at `key` in `\$\.tenants`"),
    "a digest": (
        FAKE + '[tenants.a]\napi_keys = [{ digest = "vk_a_x" }]\n',
        r"api_keys\[0\]\.digest`; `verify-service apikey new` prints one$",
    ),
    "no scope": (
        FAKE + f'[tenants.a]\napi_keys = [{{ digest = "{DIGEST}", scopes = [] }}]\n',
        r"api_keys\[0\]\.scopes`",
    ),
    "a scope": (
        FAKE + f'[tenants.a]\napi_keys = [{{ digest = "{DIGEST}", scopes = ["root"] }}]\n',
        r"'root'.*scopes\[0\]`; it is one of admin, read, verify$",
    ),
    "a key of two tenants": (
        FAKE + "".join(f'[tenants.{name}]\napi_keys = [{{ digest = "{DIGEST}" }}]\n' for name in "ab"),
        r"tenants\.b\.api_keys: a digest stands twice",
    ),
    "a kind": ('[providers.x]\nkind = "carrier-pigeon"\n', r"providers\.x: kind 'carrier-pigeon' is none of aws, "),
    "no kind": ("[providers.x]\n", r"providers\.x: `kind` is required"),
    "a key of another kind": (FAKE + 'url = "https://x"\n', r"providers\.fake-a: .*unknown field `url`"),
    "no secret": ('[providers.x]\nkind = "webhook"\nurl = "https://x"\n', r"missing required field `secret`"),
    "a URL": (HOOK.replace("https://sms", "ftp://sms"), r"\.url`"),
    "a secret in clear": (
        HOOK.replace("env:HOOK_SECRET", "hunter2"),
        r"regex .*\.secret`; write env:NAME or file:PATH, never in clear$",
    ),
    "a timeout": (HOOK + "timeout = 5\n", r"a length of time is written in quotes.*\.timeout`"),
    "a length of time": (HOOK + 'timeout = "soon"\n', r"'soon' is not a length of time.*\.timeout`"),
    "a sender's type": (
        FAKE + '[senders.s]\ntype = "pager"\naddress = "1"\n',
        r"'pager' - .*\.type`; it is one of 10dlc, alphanumeric, email, long-code, rcs, "
        r"short-code, toll-free, whatsapp$",
    ),
    "a route to nowhere": (
        FAKE + '[[routes]]\nvia = [{ provider = "other" }]\n',
        r"routes\[0\]: there is no \[providers\.other\]",
    ),
    "a route from nobody": (
        FAKE + '[[routes]]\nvia = [{ provider = "fake-a", sender = "s" }]\n',
        r"routes\[0\]: there is no \[senders\.s\]",
    ),
    "a route without a provider": (FAKE + "[[routes]]\nvia = []\n", r"at `\$\.routes\[0\]\.via`"),
    "a country": (
        FAKE + '[[routes]]\ncountries = ["de"]\nvia = [{ provider = "fake-a" }]\n',
        r"routes\[0\]\.countries: 'de'",
    ),
    "a channel": (
        FAKE + '[[routes]]\nchannel = "fax"\nvia = [{ provider = "fake-a" }]\n',
        r"'fax' - at `\$\.routes\[0\]\.channel`; it is one of email, rcs, sms, voice, whatsapp$",
    ),
    "a country that is called otherwise": (
        FAKE + '[[routes]]\ncountries = ["UK"]\nvia = [{ provider = "fake-a" }]\n',
        r"routes\[0\]\.countries: 'UK' is not an ISO 3166 code or \*; did you mean 'GB'\?$",
    ),
    "a sender's country": (
        FAKE + SHORT + 'countries = ["UK"]\n',
        r"senders\.short\.countries: 'UK' .*did you mean 'GB'\?$",
    ),
    "a name as a short code": (
        FAKE + SHORT.replace("43721", "abc"),
        r"senders\.short\.address: 'abc': the address of a short-code is digits alone, such as 43721$",
    ),
    "a number without its country": (
        FAKE + SHORT.replace("short-code", "toll-free").replace("43721", "8885550100"),
        r"senders\.short\.address: '8885550100': .* is a number in E\.164, such as \+18885550100$",
    ),
    "a sender's throughput": (
        FAKE + SHORT + "per_second = 0\n",
        r"at `\$\.senders\.short\.per_second`$",
    ),
    "no sender where names are refused": (
        TWILIO + '[[routes]]\ncountries = ["US", "DE"]\nvia = [{ provider = "twilio" }]\n',
        r"routes\[0\]: twilio has no sender, .* carriers in US refuse names; give it a short code, ",
    ),
    "receipts that cannot come": (
        TWILIO + '[[routes]]\nvia = [{ provider = "twilio" }]\nreceipt_within = "9 seconds"\n',
        r"routes\[0\]\.receipt_within: twilio calls us with receipts, and there is no public_url, ",
    ),
    "a route that is never taken": (
        FAKE + 2 * '[[routes]]\ncountries = ["US"]\nvia = [{ provider = "fake-a" }]\n',
        r"routes\[1\]\.countries: routes\[0\] carries sms to US already, so this one is never taken; ",
    ),
    "a fallback to itself": (
        FAKE + '[[routes]]\nvia = [{ provider = "fake-a" }]\nfallback = ["sms"]\n',
        r"routes\[0\]\.fallback: sms is the route's own channel",
    ),
    "a fallback to nowhere": (
        FAKE
        + '[[routes]]\ncountries = ["US"]\nvia = [{ provider = "fake-a" }]\nfallback = ["voice"]\n'
        + '[[routes]]\ncountries = ["DE"]\nchannel = "voice"\nvia = [{ provider = "fake-a" }]\n',
        r"routes\[0\]\.fallback: there is no route by voice to US; write one$",
    ),
    "a public address without a scheme": (
        'public_url = "verify.example.com"\n' + FAKE,
        r"`\$\.public_url`; write it whole, such as https://verify\.example\.com$",
    ),
    "an account": (
        TWILIO.replace("AC", "XC"),
        r"providers\.twilio: .*`\$\.account`; the console shows it as Account SID: AC and 32 hex digits$",
    ),
    "a language": (
        FAKE + '[templates.login]\nenn = "{code} is your code."\n',
        r"templates\.login\.enn: there is no language \"enn\"; did you mean 'en'\?$",
    ),
    "no weight": (
        FAKE + '[[routes]]\nvia = [{ provider = "fake-a", weight = 0 }]\n',
        r"routes\[0\]: every weight is 0",
    ),
    "a negative weight": (FAKE + '[[routes]]\nvia = [{ provider = "fake-a", weight = -1 }]\n', r"via\[0\]\.weight`"),
    "fake beside real": (FAKE + HOOK, r"fake-a is fake and hook is real.*allow_fake = true"),
    "a test number": (
        FAKE + '[[test_numbers]]\nmatch = "*"\ncode = "123456"\nuntil = 2027-01-01\n',
        r"test_numbers\[0\]\.match`; write it such as \+1415555\*$",
    ),
    "a test code": (
        FAKE + '[[test_numbers]]\nmatch = "+1415555*"\ncode = "secret"\nuntil = 2027-01-01\n',
        r"test_numbers\[0\]\.code`; 4 to 10 digits$",
    ),
    "a test number for ever": (
        FAKE + '[[test_numbers]]\nmatch = "+1415555*"\ncode = "123456"\n',
        r"missing required field `until`",
    ),
}


@pytest.mark.parametrize(("text", "words"), BAD.values(), ids=BAD)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    """The line names the key at fault, and no more than one line is said."""
    file = tmp_path / "verify.toml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError, match=words) as refused:
        config.load(file, None)
    assert "\n" not in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_file_that_cannot_be_read_is_said_to_be(tmp_path: Path) -> None:
    """Missing, or a folder: one line with its name and the system's reason."""
    for path, why in ((tmp_path / "nothing", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigError) as refused:
            config.load(path, None)
        assert str(refused.value) == f"{path}: cannot be read: {why}"


def test_services_and_accounts_are_the_files_or_follow_from_names(tmp_path: Path) -> None:
    """A tenant without any has one for `login`; the built-in tenant too."""
    sid, account = f"VA{'5' * 32}", f"AC{'a' * 32}"
    tables = f"""
[tenants.acme]
account_sid = "{account}"
[[tenants.acme.services]]
sid = "{sid}"
name = "Acme Shop"
purpose = "shop"
code_length = 8
[tenants.blue-bicycle]
"""
    found = load(tmp_path, FAKE + tables, "vk_default_x")
    assert found.accounts == {name: services.account(name) for name in ("default", "blue-bicycle")} | {"acme": account}
    (shop,) = found.services["acme"]
    assert (shop.sid, shop.name, shop.purpose, shop.code_length) == (sid, "Acme Shop", "shop", 8)
    assert (found.code_length("acme", "shop"), found.code_length("acme", "login")) == (8, 0)
    (own,) = found.services["default"]
    assert (own.sid, own.purpose) == (services.derived("VA", "default", "login"), "login")
    assert found.facades.twilio is True


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ('account_sid = "AC1"', "account_sid"),
        ('services = [{ sid = "VA1" }]', "sid"),
        ("services = [{ code_length = 5 }]", "code_length"),
        ("services = [{ code_length = 11 }]", "code_length"),
        ('services = [{ purpose = "Log in" }]', "purpose"),
        ('services = [{ name = "" }]', "name"),
        ("services = [{}, {}]", "tenants.acme.services[0].sid: stands twice"),
        (f'services = [{{}}, {{ sid = "VA{"1" * 32}" }}]', "tenants.acme.services[0].purpose: stands twice"),
        ("[facades]\nvonage = true", "vonage"),
        (f'account_sid = "{services.account("other")}"\n[tenants.other]', "tenants.acme.account_sid: stands twice"),
    ],
)
def test_a_service_that_cannot_be_meant_stops_the_start(tmp_path: Path, table: str, key: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(key)):
        load(tmp_path, f"{FAKE}[tenants.acme]\n{table}\n")


@pytest.mark.slow
def test_what_has_read_a_file_ends_in_peace(tmp_path: Path) -> None:
    """msgspec frees what it knows of types when a process ends. Where it errs, that dies of it: now and then, as the
    types' places in memory have it."""
    (tmp_path / "verify.toml").write_text(FAKE)
    reads = "import pathlib, sys; from verify_service import config_file; config_file.read(pathlib.Path(sys.argv[1]))"
    words = [sys.executable, "-c", reads, str(tmp_path / "verify.toml")]
    made = [subprocess.Popen(words, stderr=subprocess.PIPE) for _ in range(6)]
    assert [(process.communicate()[1], process.returncode) for process in made] == [(b"", 0)] * 6
