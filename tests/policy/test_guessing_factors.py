"""What an attacker who knows a user's name and types codes all day can guess, against what the policy promises; and how
who was locked out by one is let in again."""

from typing import Any

import pyotp
import pytest
from click.testing import CliRunner

from tests.support.authenticator import TENANT, App, enrolled
from tests.support.bench import Bench, ManualClock, make_bench, wrong
from tests.support.contract import LocalClient
from verify_service.cli import commands
from verify_service.errors import ConfigError, RateLimited
from verify_service.factors import NewFactor
from verify_service.model import Actor
from verify_service.policy import file as policy_file
from verify_service.store import Store

pytestmark = pytest.mark.slow

DAY_S = 86_400
DIGITS = 8
"""So long that codes of two counters are hardly ever the same; how many are right at once is no matter of digits."""
NO_NUMBERS = "[code]\nguess_ceiling = 1.0\n"


def code_of(app: App, counter: int) -> str:
    """The app's code of a counter; of TOTP that is a time step."""
    return pyotp.HOTP(app.enrolled.secret, digits=DIGITS).at(counter)


def kept(bench: Bench, user: str) -> list[Any]:
    """Where the user's record lies, and what it is."""
    key = f"vs:{{0}}:user:{bench.tagger.user(TENANT, user)}"
    return [key, bench.store.link.command(0, ["GET", key])]


def right_at_once(bench: Bench, user: str, app: App, around: range, now: int) -> list[int]:
    """The counters, by how far they are from `now`, whose codes are approved each for itself as the user stands."""
    record, found = kept(bench, user), list[int]()
    for offset in around:
        bench.store.link.command(0, ["SET", *record])
        bench.relief.unlock_user(TENANT, user, Actor("test"), "one guess at a time")
        if bench.factors.check(TENANT, user, code_of(app, now + offset)).approved:
            found.append(offset)
    return found


def wrong_codes_of_a_day(bench: Bench, user: str, app: App) -> int:
    """How many guesses are compared in 24 hours, by who waits no longer than told."""
    till, compared = bench.clock.now() + DAY_S * 1000, 0
    while bench.clock.now() < till:
        try:
            assert bench.factors.check(TENANT, user, wrong(code_of(app, 0))).status == "wrong"
            compared += 1
        except RateLimited as refused:
            bench.clock.advance(refused.members["retry_after"])
    return compared


@pytest.mark.parametrize(
    ("settings", "totp", "hotp", "chance"),
    [
        ("", [-3, -2, -1, 0, 1], [0, 1, 2], 5e-4),
        ("per_user = 2\ndrift = 0\nlook_ahead = 7\n", [-1, 0, 1], [0, 1, 2, 3, 4, 5, 6], 3.2e-4),
    ],
)
def test_the_policy_promises_no_less_than_an_attacker_gets(
    store: Store, settings: str, totp: list[int], hotp: list[int], chance: float
) -> None:
    """The codes that are right at once for a device whose clock is as far off as can be learnt, and for a token; times
    the factors of a user, times the guesses of a day. A token that waits for the code behind one far ahead has that one
    more."""
    bench = make_bench(store, f"{NO_NUMBERS}[factors]\n{settings}")
    policy = bench.service.policy
    app = enrolled(bench, "late", NewFactor(digits=DIGITS))
    for step in range(1, policy.factors.drift + 1):
        app.off = -30 * step
        bench.clock.advance(3600)
        assert bench.factors.check(TENANT, "late", app.at()).approved
    bench.clock.advance(3600)
    assert right_at_once(bench, "late", app, range(-9, 10), bench.clock.now() // 30_000) == totp
    token = enrolled(bench, "token", NewFactor(kind="hotp", digits=DIGITS))
    assert right_at_once(bench, "token", token, range(70), token.counter) == hotp
    assert bench.factors.check(TENANT, "token", code_of(token, token.counter + 30)).status == "wrong"
    awaited = right_at_once(bench, "token", token, range(70), token.counter)
    assert awaited == [*hotp, 31]
    tries = wrong_codes_of_a_day(bench, "late", app)
    assert tries == 20
    guessed = policy.factors.per_user * max(len(totp), len(awaited)) * tries / 10**6
    assert guessed == pytest.approx(chance)
    assert guessed <= policy.factor_guess_chance() <= policy.factors.guess_ceiling
    assert policy.factor_guess_chance() == pytest.approx(chance)


@pytest.mark.parametrize(
    ("policy", "chance"),
    [
        ("[factors]\nper_user = 20\n", "2.0e-03"),
        ("[factors]\ndrift = 10\n", "1.3e-03"),
        ('[[limit]]\nname = "u"\nof = ["user"]\ncounts = "wrong-codes"\nallow = "10/minute"\n', "3.6e-01"),
        ('[[limit]]\nname = "u"\nof = ["user"]\ncounts = "wrong-codes"\nallow = "9/day"\nmode = "off"\n', "1.0e+00"),
        (
            '[[limit]]\nname = "u"\nof = ["user"]\ncounts = "wrong-codes"\nallow = "9/day"\nmode = "observe"\n',
            "1.0e+00",
        ),
    ],
)
def test_a_policy_above_its_ceiling_is_refused(policy: str, chance: str) -> None:
    """Whatever makes a guess likelier; a limit that does not decide bounds nothing. A higher ceiling takes the policy
    as it is."""
    with pytest.raises(ConfigError, match=rf"factors.guess_ceiling: .* a chance of {chance.replace('+', '.')} a day"):
        policy_file.parse(NO_NUMBERS + policy, "x")
    limit = policy.removeprefix("[factors]\n")
    policy_file.parse(f"{NO_NUMBERS}[factors]\nguess_ceiling = 1.0\n{limit}", "x")


def test_who_was_locked_out_is_explained_and_let_in_again(store: Store) -> None:
    """Spent wrong codes are explained with the exact wait, without a code being typed. An unlock forgets them at once,
    for this user of this tenant alone; factors and used codes stay as they are, and the event says who did it."""
    bench = make_bench(store)
    app, other = enrolled(bench, "ann"), App(bench, bench.factors.enrol(TENANT, "bob", NewFactor()))
    used = app.at()
    assert bench.factors.check(TENANT, "ann", used).approved
    for _ in range(10):
        bench.factors.check(TENANT, "ann", wrong(app.at()))
        bench.factors.verify(TENANT, "bob", other.id, wrong(other.at()))
    found = bench.explain.explain_user(TENANT, "ann")
    said = "The limit `user-wrong-codes` refuses: 10 of 10 within an hour; room again in 3601 s."
    assert (found.decision, found.by, found.sentence) == ("refuse", "user-wrong-codes", said)
    assert bench.explain.explain_user("other", "ann").sentence == (
        "Every limit and rule in force lets this code of the user pass."
    )
    assert bench.relief.unlock_user("other", "ann", Actor("ann"), "wrong tenant") == 0
    assert bench.relief.unlock_user(TENANT, "ann", Actor("eve"), "called support") == 1
    assert [bench.factors.look(TENANT, user).checks_left for user in ("ann", "bob")] == [10, 0]
    assert bench.factors.check(TENANT, "ann", used).status == "used"
    bench.clock.advance(30)
    assert bench.factors.check(TENANT, "ann", app.at()).approved
    tag = bench.tagger.user(TENANT, "ann")
    events = [event for event in store.events.read(0) if event["event"] == "user-unlocked" and event["user"] == tag]
    assert [(event["tenant"], event["by"], event["reason"]) for event in events] == [(TENANT, "eve", "called support")]


def test_an_unlock_by_http(store: Store) -> None:
    """For a user of the key's own tenant; a number and a user are two calls."""
    client = LocalClient(store, ManualClock())
    made = client.factors.enrol("default", "ann", NewFactor())
    assert client.factors.verify("default", "ann", made.factor.id, "000000").status == "wrong"
    body = {"user": "ann", "reason": "called support"}
    assert client.request("POST", "/admin/unlock", body)[2] == {"user": "ann", "forgotten": 1}
    assert client.request("POST", "/admin/unlock", body)[2] == {"user": "ann", "forgotten": 0}
    both = client.refused("POST", "/admin/unlock", body | {"to": "+14155550123"})
    neither = client.refused("POST", "/admin/unlock", {"reason": "called support"})
    assert [each["errors"][0]["field"] for each in (both, neither)] == ["user", "to"]


def test_the_commands_for_a_user(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """`policy explain --user` alone judges a code, `unlock --user` forgets; what does not go together is no usage."""
    bench = make_bench(store)
    app = App(bench, bench.factors.enrol(TENANT, "ann", NewFactor()))
    bench.factors.verify(TENANT, "ann", app.id, wrong(app.at()))
    monkeypatch.setattr("verify_service.commands.explain._remote", lambda: bench)

    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(commands, words)
        return done.exit_code, done.output

    assert run("policy", "explain", "--user", "ann") == (
        0,
        "pass     enforce  user-wrong-codes: The limit `user-wrong-codes` has room: 1 of 10 within an hour.\n"
        "admit: Every limit and rule in force lets this code of the user pass. (revision 0)\n",
    )
    assert run("unlock", "--user", "ann", "--reason", "called") == (0, "ann: 1 counts forgotten\n")
    assert run("unlock", "--user", "ann", "--tenant", "acme", "--reason", "called") == (0, "ann: 0 counts forgotten\n")
    for words in (
        ("policy", "explain"),
        ("policy", "explain", "--user", "ann", "--ip", "203.0.113.9"),
        ("unlock", "--reason", "called"),
        ("unlock", "--reason", "called", "--user", "ann", "--to", "+14155550123"),
        ("unlock", "--reason", "called", "--tenant", "default", "--to", "+14155550123"),
    ):
        assert run(*words)[0] == 2
