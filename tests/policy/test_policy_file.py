"""The policy file: the shipped one, what may be written, and the key that is named where it cannot be used."""

from pathlib import Path

import pytest

from verify_service.errors import ConfigError
from verify_service.policy import file as policy_file

GUARD = '[[limit]]\nname = "guesses"\nof = ["number"]\nallow = "20/day"\ncounts = "wrong-codes"\n'


def test_the_shipped_policy_is_the_promised_one() -> None:
    """The defaults that the README states: six digits, ten minutes, five and five, and the limits in force."""
    policy = policy_file.load(None)
    code = policy.code
    assert (code.digits, code.life.ms, code.checks, code.sends) == (6, 600_000, 5, 5)
    assert [wait.ms for wait in code.cooldown] == [30_000, 60_000, 120_000]
    assert (code.resend, code.check_by_number, code.guess_ceiling) == ("same", True, 1e-4)
    assert policy.line_types.deny == {"premium-rate", "shared-cost", "pager", "voicemail", "uan", "toll-free"}
    minute, hour, day = 60_000, 3_600_000, 86_400_000
    assert [(limit.name, limit.of, limit.counts, limit.windows, limit.net_of_approved) for limit in policy.limit] == [
        ("number", ("number",), "starts", ((5, 10 * minute), (10, day)), False),
        ("number-wrong-codes", ("number",), "wrong-codes", ((10, hour), (20, day)), False),
        ("user-wrong-codes", ("user",), "wrong-codes", ((10, hour), (20, day)), False),
        ("mailbox", ("mailbox",), "starts", ((5, 10 * minute), (10, day)), False),
        ("mail-domain", ("mail_domain",), "starts", ((100, hour), (500, day)), True),
        ("ip", ("ip",), "starts", ((100, hour), (500, day)), True),
        ("network", ("network",), "starts", ((200, hour), (1000, day)), True),
        ("ip-wrong-codes", ("ip",), "wrong-codes", ((60, hour), (200, day)), False),
    ]
    assert {limit.mode for limit in policy.limit} == {"enforce"}
    assert policy.factors == policy_file.parse(GUARD, "x").factors


def test_what_is_left_out_is_as_shipped() -> None:
    """A file with one limit has the shipped code settings."""
    assert policy_file.parse(GUARD, "x").code == policy_file.CodeSettings()


def test_every_key_may_be_written() -> None:
    """All keys of the contract that a policy has today, in one file."""
    policy = policy_file.parse(
        """
        [code]
        digits = 8
        life = "5 minutes"
        checks = 3
        sends = 2
        cooldown = ["1 minute"]
        resend = "new"
        check_by_number = false
        guess_ceiling = 1e-5

        [line_types]
        deny = ["pager"]

        [[limit]]
        name = "carrier-nat"
        of = ["network", "tenant"]
        allow = "100 per hour; 1000/day"
        counts = "starts"
        net_of_approved = true
        mode = "observe"

        [[limit]]
        name = "guesses"
        of = ["number"]
        allow = "10/day"
        counts = "wrong-codes"
        """,
        "x",
    )
    assert (policy.code.digits, policy.code.resend, policy.code.check_by_number) == (8, "new", False)
    assert policy.limit[0].windows == ((100, 3_600_000), (1000, 86_400_000))
    assert policy.limit[0].mode == "observe"


def test_the_chance_to_guess_is_computed_from_what_is_enforced() -> None:
    """Twenty wrong codes a day at six digits are 2e-5; without a limit on them, starts times checks; else certainty."""
    assert policy_file.load(None).guess_chance() == pytest.approx(20 / 10**6)
    starts = '[[limit]]\nname = "n"\nof = ["number"]\nallow = "10/day"\n'
    assert policy_file.parse(starts, "x").guess_chance() == pytest.approx(10 * 5 / 10**6)
    eight = policy_file.parse("[code]\ndigits = 8\n" + GUARD, "x")
    assert eight.guess_chance() == pytest.approx(20 / 10**8)
    assert policy_file.parse("[code]\nguess_ceiling = 1.0", "x").guess_chance() == 1.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        GUARD.replace("20/day", "1000/day"),
        GUARD.replace("20/day", "20/hour"),
        GUARD + 'mode = "observe"\n',
        GUARD + 'mode = "off"\n',
        GUARD.replace('["number"]', '["ip"]'),
        GUARD.replace('["number"]', '["number", "tenant"]'),
    ],
)
def test_a_policy_that_lets_codes_be_guessed_is_refused(text: str) -> None:
    """Where an attacker's chance per number and day is above the ceiling, the line says both and what to do."""
    with pytest.raises(
        ConfigError, match=r"code\.guess_ceiling: .* can be guessed with a chance of .* above 1\.0e-04; allow"
    ):
        policy_file.parse(text, "x")


BAD = {
    "deep lists": ("a=" + "[" * 900 + "]" * 900, r"nested too deeply"),
    "deep tables": ("a=" + "{b=" * 900 + "1" + "}" * 900, r"nested too deeply"),
    "no TOML": ("[code", r"is not TOML"),
    "an unknown table": ("[codes]\ndigits = 6\n", r"unknown field `codes`"),
    "an unknown key": ("[code]\ndigit = 6\n", r"unknown field `digit` - at `\$\.code`"),
    "few digits": ("[code]\ndigits = 4\n", r">= 6 - at `\$\.code\.digits`"),
    "many digits": ("[code]\ndigits = 9\n", r"<= 8 - at `\$\.code\.digits`"),
    "digits in words": ("[code]\ndigits = 'six'\n", r"got `str` - at `\$\.code\.digits`"),
    "a bare number as a time": ("[code]\nlife = 600\n", r"written in quotes.* - at `\$\.code\.life`"),
    "a time without a unit": ("[code]\nlife = '600'\n", r"'600' is not a length of time.* - at `\$\.code\.life`"),
    "no time": ("[code]\nlife = '0 minutes'\n", r"'0 minutes' is not a length of time.* - at `\$\.code\.life`"),
    "no cooldown": ("[code]\ncooldown = []\n", r"at `\$\.code\.cooldown`"),
    "a cooldown": ("[code]\ncooldown = ['1 minute', 'x']\n", r"at `\$\.code\.cooldown\[1\]`"),
    "no checks": ("[code]\nchecks = 0\n", r"at `\$\.code\.checks`"),
    "many sends": ("[code]\nsends = 21\n", r"at `\$\.code\.sends`"),
    "resend": ("[code]\nresend = 'other'\n", r"'other' - at `\$\.code\.resend`"),
    "a line type": (
        "[line_types]\ndeny = ['pager', 'fax']\n" + GUARD,
        r"line_types\.deny\[1\]: 'fax' is none of .*mobile",
    ),
    "a limit's name": (GUARD.replace("guesses", "My Limit"), r"at `\$\.limit\[0\]\.name`"),
    "a name twice": (GUARD + GUARD, r"limit\[0\] \(guesses\): the name stands twice"),
    "a dimension": (
        GUARD.replace('"number"', '"number", "countri"'),
        r"limit\[0\] \(guesses\)\.of\[1\]: 'countri' is no dimension; did you mean 'country'\?; a key that callers "
        r"send is written 'key:' and its name$",
    ),
    "a key's name": (
        GUARD.replace('"number"', '"key:Account Id"'),
        r"limit\[0\] \(guesses\)\.of\[0\]: 'key:Account Id' is no dimension: behind 'key:' comes a name of 1 to 32 of "
        r"a-z, 0-9 and _; did you mean 'key:account_id'\?$",
    ),
    "a key without a name": (GUARD.replace('"number"', '"key:"'), r"'key:' is no dimension: .* such as 'key:account'$"),
    "keys": (GUARD.replace('"number"', '"keys:account"'), r"is no dimension: .*; did you mean 'key:account'\?$"),
    "a wrong code's key": (
        GUARD.replace('"number"', '"key:account"'),
        r"limit\[0\] \(guesses\)\.of: wrong codes can be counted by .*, not by key:account: a check does not say it$",
    ),
    "no dimension": (GUARD.replace('"number"', ""), r"at `\$\.limit\[0\]\.of`"),
    "a dimension twice": (GUARD.replace('"number"', '"number", "number"'), r"limit\[0\] \(guesses\)\.of: a dimension"),
    "an allowance": (GUARD.replace("20/day", "a few"), r"limit\[0\] \(guesses\)\.allow: 'a few' is not in the grammar"),
    "no allowance": (GUARD.replace("20/day", "0/day"), r"limit\[0\] \(guesses\)\.allow: each window allows at least 1"),
    "a long window": (GUARD.replace("20/day", "20/year"), r"limit\[0\] \(guesses\)\.allow: .* at most 31 days"),
    "what is counted": (GUARD.replace("wrong-codes", "calls"), r"'calls' - at `\$\.limit\[0\]\.counts`"),
    "a mode": (GUARD + "mode = 'watch'\n", r"'watch' - at `\$\.limit\[0\]\.mode`"),
    "a wrong code's country": (
        GUARD.replace('"number"', '"country"'),
        r"limit\[0\] \(guesses\)\.of: wrong codes can be counted by .*, not by country",
    ),
    "wrong codes given back": (
        GUARD + "net_of_approved = true\n",
        r"limit\[0\] \(guesses\)\.net_of_approved: only starts",
    ),
}


@pytest.mark.parametrize(("text", "words"), BAD.values(), ids=BAD)
def test_a_policy_that_cannot_be_used_names_the_key(tmp_path: Path, text: str, words: str) -> None:
    """One line with the file, the key and what may stand there."""
    file = tmp_path / "policy.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=words) as refused:
        policy_file.load(file)
    assert str(refused.value).startswith(f"{file}: ")
    assert "\n" not in str(refused.value)


def test_a_file_that_cannot_be_read_is_said_to_be(tmp_path: Path) -> None:
    """Missing, a folder, or not text: one line with its name."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name, why in (
        ("nothing", "No such file or directory"),
        ("binary", "it is not UTF-8 text"),
        (".", "Is a directory"),
    ):
        with pytest.raises(ConfigError) as refused:
            policy_file.load(tmp_path / name)
        assert str(refused.value) == f"{tmp_path / name}: cannot be read: {why}"
