"""How the team is reached: by a real mail server, by what verify.toml says, by the command that tries it out."""

import json
from pathlib import Path

import pytest

from tests.support.alerts import BASE, MAIL, SECRET, AlertBench, found, targets, terms
from tests.support.commands import fails, run
from tests.support.contract import LocalClient
from tests.support.faults import GUARD
from tests.support.peers.email_peer import PASSWORD, EmailPeer
from tests.support.vendor import Vendor
from verify_service import codes, config
from verify_service.adapters import AdapterContext, find
from verify_service.errors import ConfigError
from verify_service.providers.email import EmailSettings
from verify_service.store import Store

ODD = "evil\r\nBcc: all@evil.example\r\n\r\nhttps://evil.example/"


@pytest.fixture
def team(quiet: Store, tmp_path: Path, vendor: Vendor) -> AlertBench:
    return AlertBench(quiet, tmp_path, vendor, GUARD)


def happens(team: AlertBench, target: str, of: str = "TN", sentence: str = "It is so.") -> None:
    """An attack, of which this target is to be told."""
    team.store.alerts.judge(team.bench.clock.now(), [found(of, sentence=sentence)], terms(target))


def test_an_email_reaches_a_mail_server_whole_and_whom_it_is_for_alone(team: AlertBench) -> None:
    """Whatever is told, it adds no header, no recipient and no line to it."""
    with EmailPeer() as server:
        context = AdapterContext(name="only", secret=lambda _: PASSWORD, clock=team.bench.clock)
        team.providers["only"] = find("email").provider(EmailSettings(**server.table()), context)
        happens(team, "mail-1", of=ODD, sentence=ODD)
        team.alarms.round()
        team.providers["only"].close()
        [email], [(recipients, _)] = server.emails, server.envelopes
    assert recipients == [MAIL]
    assert set(email.keys()) == {
        *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted"),
        *("Content-Type", "Content-Transfer-Encoding", "MIME-Version"),
    }
    assert email["From"] == "Verify <other@acme.example.org>"
    assert email["Subject"] == "[Verify] Under attack: evil Bcc: all@evil example https evil example/"
    assert email.get_content().splitlines()[0] == "evil Bcc: all@evil example https evil example/"


@pytest.mark.parametrize(
    ("alerts", "fault"),
    [
        ('mail = { to = ["+14155550171"] }', "alerts.mail.to[0]: is no email address"),
        ('text = { to = ["0170 123"] }', "alerts.text.to[0]: is no number in E.164, such as +4915112345678"),
        ("text = { to = [] }", "verify.toml: Expected `array` of length >= 1 - at `$.alerts.text.to`"),
        (
            'webhook = { url = "https://x.example", secret = "env:A", timeout = "1 minute" }',
            "alerts.webhook.timeout: 20",
        ),
        ('resolve_after = "2 days"', "alerts.resolve_after: 1 day at most"),
        ('off = ["fire"]', "Invalid enum value 'fire' - at `$.alerts.off[0]`"),
        ("budget_share = 80", "Expected `float` <= 1.0 - at `$.alerts.budget_share`"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_key(alerts: str, fault: str, tmp_path: Path) -> None:
    """Where a role starts, and by any command."""
    (tmp_path / "verify.toml").write_text(f"{BASE}[alerts]\n{alerts}\n")
    with pytest.raises(ConfigError) as refused:
        config.load(tmp_path / "verify.toml", None)
    assert fault in str(refused.value)


def test_a_target_that_no_route_leads_to_is_refused(tmp_path: Path) -> None:
    """An alert that could never arrive would be found out in the wrong night."""
    only_us = '[providers.a]\nkind = "fake"\n[[routes]]\ncountries = ["US"]\nvia = [{ provider = "a" }]\n[alerts]\n'
    for target, channel in (('text = { to = ["+4915112345678"] }', "sms"), (f'mail = {{ to = ["{MAIL}"] }}', "email")):
        (tmp_path / "verify.toml").write_text(only_us + target)
        with pytest.raises(ConfigError, match=rf"to\[0\]: no route carries {channel} there"):
            config.load(tmp_path / "verify.toml", None)


def test_what_is_open_over_and_untold_is_shown_by_http_and_by_command(team: AlertBench) -> None:
    """To whoever may read; the same by both."""
    team.vendor.answer = lambda: (503, {}, b"")
    happens(team, "webhook")
    team.alarms.round()
    client = LocalClient(team.store, team.bench.clock, public_url="https://verify.acme.example")
    status, _, shown = client.request("GET", "/admin/alerts")
    assert (status, shown["past"], shown["given_up"]) == (200, [], [])
    assert [each["title"] for each in shown["open"]] == ["Under attack: TN"]
    assert [(each["target"], each["tries"], each["reason"]) for each in shown["waiting"]] == [
        ("webhook", 1, "HTTP 503")
    ]
    file = team.folder / "verify.toml"
    file.write_text(targets(team.vendor.url))
    env = {"VERIFY_REDIS_URL": team.store.link.url, "VERIFY_CONFIG": str(file)}
    assert json.loads(run("alerts", "list", "--json", env=env).stdout) == shown
    since = shown["open"][0]["since"]
    link = "https://verify.acme.example/console/blocks"
    assert run("alerts", "list", env=env).stdout.splitlines() == [
        f"open      {since}  Under attack: TN: It is so.  {link}",
        f"waiting   {since}  webhook: opened, 1 tries, HTTP 503",
    ]


def test_the_command_tries_each_target_and_says_what_became_of_it(team: AlertBench) -> None:
    """By the providers of verify.toml; it fails where one does, and where there is none."""
    file = team.folder / "verify.toml"
    file.write_text(targets(team.vendor.url))
    ring = f"k1:{codes.new_key()}"
    env = {"VERIFY_REDIS_URL": team.store.link.url, "VERIFY_CONFIG": str(file), "A": SECRET}
    env |= {"VERIFY_KEYS": ring, "VERIFY_TAG_KEY": codes.new_key()}
    done = run("alerts", "test", env=env)
    assert (done.returncode, done.stdout) == (0, "webhook: taken\nmail-1: taken\ntext-1: taken\n"), done.stderr
    assert team.told == ["test Test"]
    team.vendor.answer = lambda: (404, {}, b"")
    done = run("alerts", "test", env=env)
    assert (done.returncode, done.stdout) == (1, "webhook: HTTP 404\nmail-1: taken\ntext-1: taken\n")
    assert done.stderr == "verify-service: 1 of 3 targets did not take it\n"
    file.write_text(BASE)
    assert fails("alerts", "test", env=env).startswith("[alerts] of verify.toml names no target")
