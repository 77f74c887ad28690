"""`verify-service twilio`: the SIDs of a tenant, and the lines that point an SDK of Twilio's here."""

import json
import secrets
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from verify_service import services
from verify_service.cli import commands
from verify_service.store import Store

TOML = f"""
public_url = "https://verify.example.com/"
[providers.fake-a]
kind = "fake"
[tenants.acme]
account_sid = "AC{"a" * 32}"
[[tenants.acme.services]]
sid = "VA{"5" * 32}"
[[tenants.acme.services]]
purpose = "payment"
"""


def told(monkeypatch: pytest.MonkeyPatch, *words: str, config: Path | None = None, url: str = "") -> Result:
    """As a user types it; without a store where no `url` is given."""
    monkeypatch.setenv("VERIFY_STATE_DIR", "/nowhere")
    for name, value in (("VERIFY_CONFIG", str(config or "")), ("VERIFY_REDIS_URL", url)):
        monkeypatch.setenv(name, value)
    return CliRunner().invoke(commands, ["twilio", *words])


def test_it_prints_the_sids_and_three_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those of the file; what it leaves out follows from names."""
    (tmp_path / "verify.toml").write_text(TOML)
    payment = services.derived("VA", "acme", "payment")
    done = told(monkeypatch, "--tenant", "acme", config=tmp_path / "verify.toml")
    assert done.stderr == "no store is at hand: services that the API made are not listed\n"
    assert (done.exit_code, done.stdout.splitlines()) == (
        0,
        [
            f"account  AC{'a' * 32}",
            f"service  VA{'5' * 32}  login",
            f"service  {payment}  payment",
            "",
            "from twilio.rest import Client",
            f'client = Client("AC{"a" * 32}", "<API key>")',
            'client.verify.base_url = "https://verify.example.com"',
        ],
    )
    done = told(monkeypatch, "--tenant", "acme", "--json", config=tmp_path / "verify.toml")
    assert json.loads(done.stdout) == {
        "account_sid": f"AC{'a' * 32}",
        "url": "https://verify.example.com",
        "services": [{"sid": f"VA{'5' * 32}", "purpose": "login"}, {"sid": payment, "purpose": "payment"}],
    }


def test_without_a_file_all_of_it_follows_from_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same on every host: a customer's code holds it."""
    done = told(monkeypatch)
    assert done.stdout.splitlines()[:2] == [
        "account  AC" + services.account("default")[2:],
        f"service  {services.derived('VA', 'default', 'login')}  login",
    ]
    assert services.account("default") != services.account("acme")


def test_services_that_the_api_made_are_listed_too(monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    """Where a store is at hand."""
    made = services.VerifyService(sid=f"VA{secrets.token_hex(16)}", purpose="made", name="Shop", created_at=1)
    assert store.services.add("default", made)
    done = told(monkeypatch, url=store.link.url)
    assert f"service  {made.sid}  made" in done.stdout.splitlines()
    assert "no store is at hand" not in done.stderr
    assert store.services.delete("default", made.sid)


def test_without_a_public_url_it_says_that_it_only_guesses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A `run` may listen elsewhere."""
    done = told(monkeypatch, "--tenant", "default")
    assert done.stderr.splitlines()[-1] == (
        "verify.toml has no public_url: the address below is where `run` listens by default"
    )
    assert done.stdout.splitlines()[-1] == 'client.verify.base_url = "http://127.0.0.1:8080"'
