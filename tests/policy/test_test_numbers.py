"""Test numbers: a fixed code for app reviewers and test suites, and nothing is sent to them or counted for them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.contract import Contract, contract
from verify_service import config
from verify_service.errors import ConfigError

pytestmark = pytest.mark.slow

FILE = """
[[test_numbers]]
match = "+1415556*"
code = "246810"
until = 2099-12-31

[[test_numbers]]
match = "+447700900*"
code = "112233"
until = 2099-12-31

[[test_numbers]]
match = "+44163296000*"
code = "112233"
until = 2020-01-01

[[test_numbers]]
match = "+14155570001"
code = "135790"
until = 2020-01-01
"""
WEBHOOK = '[providers.hook]\nkind = "webhook"\nurl = "https://sms.example.com/send"\nsecret = "env:HOOK_SECRET"\n'


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contract]:
    with contract(tmp_path_factory.mktemp("numbers"), FILE) as found:
        yield found


def test_a_test_number_takes_its_fixed_code(live: Contract) -> None:
    """The configured code is right, any other wrong; every answer about it says `"test": true`."""
    started = live.default.start("+14155560001")
    assert started["test"] is True
    assert live.default.check(id=started["id"], code="135790")["status"] == "pending"
    assert live.default.status(started["id"])["test"] is True
    assert live.default.check(to="+14155560001", code="246810")["approved"]


def test_nothing_is_sent_to_a_test_number(live: Contract) -> None:
    """Its timeline has no message and the inbox stays empty."""
    started = live.default.start("+14155560002")
    real = live.default.start("+14155550002")
    live.inbox.code("+14155550002")
    assert [line["event"] for line in live.default.status(started["id"])["timeline"]] == ["started"]
    assert {message["verification_id"] for message in live.inbox.messages("+14155550002")} == {real["id"]}
    assert live.inbox.messages("+14155560002") == []


def test_a_test_number_counts_for_nothing(live: Contract) -> None:
    """Far more starts and wrong codes than any limit allows, of the number and of the address, and none is refused."""
    for count in range(40):
        fields = {"purpose": f"purpose-{count}", "ip": "198.51.100.7"}
        started = live.default.start("+14155560003", **fields)
        assert live.default.check(id=started["id"], code="000000", ip="198.51.100.7")["status"] == "pending"
    assert "test" not in live.default.start("+14155550003", ip="198.51.100.7")


def test_a_test_number_is_an_ordinary_one_after_its_last_day(live: Contract) -> None:
    """After `until` a message goes out, and the fixed code is wrong."""
    started = live.default.start("+14155570001")
    assert "test" not in started
    assert live.inbox.code("+14155570001") != "135790"
    assert live.default.check(id=started["id"], code="135790")["status"] == "pending"


def test_until_is_the_last_day(tmp_path: Path) -> None:
    """The code works to the last millisecond of the day `until`, in UTC."""
    (tmp_path / "verify.toml").write_text('[providers.fake-a]\nkind = "fake"\n' + FILE)
    found = config.load(tmp_path / "verify.toml", None)
    end = 1_577_923_200_000  # 2020-01-02T00:00:00Z
    assert (numbers := found.test_number("+14155570001", end - 1))
    assert numbers.code == "135790"
    assert found.test_number("+14155570001", end) is None
    assert found.test_number("+14155570002", end - 1) is None


@pytest.mark.parametrize("allowed", [False, True])
def test_test_numbers_do_not_stand_beside_a_real_provider(tmp_path: Path, allowed: bool) -> None:
    """With a real provider anybody could sign in with such a number, so the file must say that this is meant."""
    file = tmp_path / "verify.toml"
    file.write_text(("allow_test_numbers = true\n" if allowed else "") + WEBHOOK + FILE)
    if allowed:
        assert len(config.load(file, None).test_numbers) == 4
        return
    with pytest.raises(ConfigError, match=r"test_numbers beside the real provider hook.*allow_test_numbers = true"):
        config.load(file, None)


def one(match: str) -> str:
    return (
        f'[providers.fake-a]\nkind = "fake"\n[[test_numbers]]\nmatch = "{match}"\ncode = "123456"\nuntil = 2099-01-01\n'
    )


@pytest.mark.parametrize(
    "match",
    [
        *("+447700900*", "+447700900123", "+441632960*", "+44163296000*", "+353209112*", "+33639981234", "+336399*"),
        *("+1415555*", "+14155550100", "+121255501*", "+61491570006", "+6149157*", "+493023125*", "+4670174060*"),
        *("+1415*", "+4477*", "+5491123456789", "+541123456789", "+5215512345678", "+52155*", "+551187654*", "+8835*"),
        *("+390612345678", "+3906*", "+2250707*", "+2420*", "+800123*", "+8810*", "+4420*", "+3725*"),
    ],
)
def test_a_pattern_of_numbers_that_can_be_started_loads(tmp_path: Path, match: str) -> None:
    """Numbers that exist, in any spelling of their country's, and those that a regulator keeps for films."""
    (tmp_path / "verify.toml").write_text(one(match))
    assert config.load(tmp_path / "verify.toml", None).test_numbers[0].match == match


@pytest.mark.parametrize(
    "match",
    [
        *(
            "+4400000*",
            "+447700900",
            "+4477009001234",
            "+4402079460018",
            "+440207*",
            "+0123456*",
            "+1115555*",
            "+1415055*",
        ),
        *("+99912*", "+1234", "+14155550", "+447700901*", "+3363997*", "+4416329601234"),
    ],
)
def test_a_pattern_that_no_start_can_match_is_refused(tmp_path: Path, match: str) -> None:
    """A country code or an area that there is not, a zero that is not dialled from abroad, too few digits or too many:
    said at load, with the place in the file."""
    (tmp_path / "verify.toml").write_text(one(match))
    with pytest.raises(ConfigError, match=r"test_numbers\[0\]\.match: no start can be for \+") as raised:
        config.load(tmp_path / "verify.toml", None)
    assert match in str(raised.value)


def test_a_number_of_films_takes_its_fixed_code(live: Contract) -> None:
    """However it is typed; nothing is sent, and a check by number finds it."""
    started = live.default.start("07700 900123", region="GB")
    assert (started["to"], started["test"]) == ("+447700900123", True)
    assert live.default.check(to="+44 7700 900123", code="112 233")["approved"]


@pytest.mark.parametrize("to", ["+441632960001", "+441632960123", "+353209112345", "+447700901123"])
def test_a_number_of_films_that_is_no_test_number_is_none(live: Contract, to: str) -> None:
    """Nor is one whose last day is over: 422 `impossible`, for start and check."""
    for path, more in (("/start", {}), ("/check", {"code": "112233"})):
        problem = live.default.refused("POST", path, {"to": to, **more})
        assert (problem["status"], problem["reason"]) == (422, "impossible")
