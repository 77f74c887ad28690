"""How sessions end, in one step whoever asks at the same time; and what a stolen or planted cookie is worth."""

import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.bench import ManualClock
from tests.support.commands import run
from tests.support.console import KEYS, TOML, Desk
from tests.support.hosted import context_of
from verify_service import app, config
from verify_service.codes import Tagger, new_key
from verify_service.errors import ConfigError
from verify_service.operators import Person
from verify_service.store import Store
from verify_service.store.audit import Audit
from verify_service.store.sessions import MOST

DAY_MS = 86_400_000


@pytest.fixture
def desk(store: Store, tmp_path: Path) -> Desk:
    return Desk(store, tmp_path)


def test_an_operator_signs_out_everywhere(desk: Desk) -> None:
    """In every browser, and nobody else with them; a new sign-in begins as ever."""
    here, lost, other = desk.browser("admin"), desk.browser("admin", "192.0.2.7"), desk.browser("read")
    assert "Sign out everywhere" in here.open("/console/you").words
    assert here.send("/console/sign-out/everywhere").path == "/console/sign-in"
    assert here.cookie == ""
    assert lost.open("/console/").path.startswith("/console/sign-in")
    assert other.open("/console/").path == "/console/"
    assert desk.browser("admin").open("/console/").path == "/console/"


def test_a_sign_in_makes_a_new_session_and_ends_the_one_before(desk: Desk) -> None:
    """So a token that was planted in a browser, or is known from before, opens nothing."""
    browser = desk.browser(None)
    browser.take("verify-console=planted")
    browser.sign_in("admin")
    first = browser.cookie
    assert "planted" not in first
    browser.send("/console/sign-in", key=KEYS["read"])
    assert browser.cookie not in ("", first)
    for old in ("verify-console=planted", first):
        stranger = desk.browser(None)
        stranger.take(old)
        assert stranger.open("/console/").path.startswith("/console/sign-in")


def test_behind_https_a_cookie_that_another_host_could_set_is_nobodys(store: Store, tmp_path: Path) -> None:
    """A neighbour of the same site can set `verify-console` for all of it, and no `__Host-`."""
    desk = Desk(store, tmp_path, toml='public_url = "https://verify.example.com"\n' + TOML)
    attacker, victim = desk.browser("admin"), desk.browser(None)
    name, _, token = attacker.cookie.partition("=")
    assert name == "__Host-verify-console"
    victim.take(f"verify-console={token}")
    assert victim.open("/console/").path.startswith("/console/sign-in")
    victim.take(f"{name}={token}")
    assert victim.open("/console/").path == "/console/"


def test_the_store_has_no_token(quiet: Store, tmp_path: Path) -> None:
    """But its digest, and what its operator is known by: who reads the store signs in by neither."""
    desk = Desk(quiet, tmp_path)
    token = desk.browser("admin").cookie.partition("=")[2]
    client: Any = quiet.link.client()
    kept = b"".join(key + (client.dump(key) or b"") for key in client.scan_iter())
    assert token.encode() not in kept
    assert KEYS["admin"].encode() not in kept
    stranger = desk.browser(None)
    for key in client.scan_iter(match="*session:*"):
        stranger.take(f"verify-console={key.decode().rpartition(':')[2]}")
        assert stranger.open("/console/").path.startswith("/console/sign-in")


@pytest.mark.slow
def test_a_command_signs_an_operator_out_everywhere(quiet: Store) -> None:
    """By key and by provider, under the name that the configuration has; and the audit log says who did it, and why."""
    quiet.link.command(0, ["DEL", "vs:{0}:audit", "vs:{0}:audit:hours"])
    for n, actor in enumerate(("operator:Ada", "oidc:ada@example.com", "oidc:ada@example.com", "operator:Rex")):
        quiet.sessions.begin(0, f"by command {n}", "proof", actor, DAY_MS)
    key = new_key()
    env = {"VERIFY_REDIS_URL": quiet.link.url, "VERIFY_TAG_KEY": key}
    words = ("sessions", "end", "--by", "ann", "--reason", "a lost laptop")
    assert run(*words, "Ada", env=env).stdout == "1 session of Ada ended\n"
    assert run(*words, "Ada@Example.com", env=env).stdout == "2 sessions of Ada@Example.com ended\n"
    assert [bool(quiet.sessions.use(1, f"by command {n}", DAY_MS, DAY_MS)) for n in range(4)] == [False] * 3 + [True]
    found = (kept.entry for kept in Audit(quiet.link, Tagger(key)).all())
    assert [(each.who, each.act, each.target, each.why) for each in found if each] == [
        ("ann", "sign-out", "Ada", "a lost laptop"),
        ("ann", "sign-out", "Ada@Example.com", "a lost laptop"),
    ]


def test_an_operator_has_so_many_sessions_and_the_oldest_end(store: Store) -> None:
    """Twenty; one that has ended counts no more, and what is kept of them all goes by itself."""
    sessions, actor = store.sessions, "operator:many"
    for at in range(MOST):
        sessions.begin(at, f"many {at}", "proof", actor, DAY_MS)
    sessions.end("many 5")
    sessions.begin(MOST, "many new", "proof", actor, DAY_MS)
    assert sessions.use(MOST, "many 0", DAY_MS, DAY_MS)
    sessions.begin(MOST, "many newer", "proof", actor, DAY_MS)
    assert sessions.use(MOST, "many 0", DAY_MS, DAY_MS) is None
    assert sessions.use(MOST, "many 1", DAY_MS, DAY_MS)
    assert sessions.use(MOST, "many new", DAY_MS, DAY_MS)
    assert sessions.end_all(actor) == MOST
    assert sessions.end_all(actor) == 0
    sessions.begin(0, "many old", "proof", actor, 1000)
    sessions.begin(2000, "many last", "proof", actor, 1000)
    assert sessions.end_all(actor) <= 2


def test_a_session_that_has_ended_stays_so_whoever_uses_it_at_the_same_time(store: Store) -> None:
    """Eight threads use two sessions and keep them alive while all of the operator's are ended: from then on none of
    them answers, though each use writes when its person was seen."""
    sessions, actor = store.sessions, "operator:raced"
    for round_ in range(5):
        tokens = [f"raced {round_} {each}" for each in range(2)]
        for token in tokens:
            sessions.begin(0, token, "proof", actor, DAY_MS)
        ended, alive = threading.Event(), threading.Barrier(9)
        late: list[str] = []

        def use(token: str, ended: threading.Event = ended, alive: Any = alive, late: Any = late) -> None:
            now = 0
            alive.wait()
            while not ended.is_set():
                sessions.use(now := now + 20_000, token, DAY_MS, DAY_MS)
            if sessions.use(now, token, DAY_MS, DAY_MS):
                late.append(token)

        threads = [threading.Thread(target=use, args=(token,)) for token in tokens * 4]
        for thread in threads:
            thread.start()
        alive.wait()
        assert sessions.end_all(actor) == 2
        ended.set()
        for thread in threads:
            thread.join()
        assert late == []


def test_a_session_is_found_by_one_trip(desk: Desk) -> None:
    """A page asks the store once for who is there."""
    browser = desk.browser("admin")
    browser.open("/console/you")
    before = desk.store.link.round_trips
    browser.open("/console/you")
    assert desk.store.link.round_trips == before + 1


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('idle = "59 seconds"', "console.idle: 1 minute at least"),
        ('idle = "13 hours"', "no longer than `life`"),
        ('life = "8 days"', "console.life: 7 days at most"),
        ("idle = 30", "a length of time is written in quotes"),
        ("oidc = {issuer = 'https://i.example', client_id = 'c', client_secret = 'env:S'}", "names anybody"),
        ("oidc = {issuer = 'http://i.example', client_id = 'c', client_secret = 'env:S', admins = ['a']}", "issuer"),
        ("oidc = {issuer = 'https://i.example?a', client_id = 'c', client_secret = 'env:S', admins = ['a']}", "query"),
        ("oidc = {issuer = 'https://i.example', client_id = 'c', client_secret = 'clear', admins = ['a']}", "env:NAME"),
        ("oidc = {issuer = 'https://i.example', client_id = '', client_secret = 'env:S', admins = ['a']}", "client_id"),
        ("oidc = {issuer = 'https://i.example', client_id = 'c', client_secret = 'env:S', admin = ['a']}", "admins"),
    ],
)
def test_a_console_that_cannot_be_meant_stops_the_start(tmp_path: Path, table: str, words: str) -> None:
    """In a line that names the key."""
    file = tmp_path / "verify.toml"
    file.write_text(f'public_url = "https://v.example"\n[providers.fake-a]\nkind = "fake"\n[console]\n{table}\n')
    with pytest.raises(ConfigError) as told:
        config.load(file, None)
    assert words in str(told.value)


@pytest.mark.parametrize("public_url", ["", 'public_url = "http://v.example"\n'])
def test_a_provider_needs_a_way_back_by_https(tmp_path: Path, public_url: str) -> None:
    file = tmp_path / "verify.toml"
    oidc = 'issuer = "https://i.example"\nclient_id = "c"\nclient_secret = "env:S"\nadmins = ["a"]\n'
    file.write_text(f'{public_url}[providers.fake-a]\nkind = "fake"\n[console.oidc]\n{oidc}')
    with pytest.raises(ConfigError, match="public_url"):
        config.load(file, None)


def test_a_client_secret_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    """In a line that names the key, and not the secret."""
    file = tmp_path / "verify.toml"
    oidc = f'issuer = "https://i.example"\nclient_id = "c"\nclient_secret = "file:{tmp_path}/none"\nadmins = ["a"]\n'
    file.write_text(f'public_url = "https://v.example"\n[providers.fake-a]\nkind = "fake"\n[console.oidc]\n{oidc}')
    with pytest.raises(ConfigError, match=r"^console\.oidc\.client_secret: "):
        app.openid(config.load(file, None), ManualClock())
    (tmp_path / "none").write_text("secret")
    assert app.openid(config.load(file, None), ManualClock())


def test_ends_are_as_configured(store: Store, tmp_path: Path) -> None:
    """Down to a minute, and a day long."""
    desk = Desk(store, tmp_path, toml=f'{TOML}\n[console]\nidle = "1 minute"\nlife = "5 minutes"\n')
    browser = desk.browser()
    desk.clock.advance(60)
    assert browser.open("/console/").path.startswith("/console/sign-in")
    browser = desk.browser()
    for _ in range(6):
        desk.clock.advance(49)
        assert browser.open("/console/").path == "/console/"
    desk.clock.advance(6)
    assert browser.open("/console/").path.startswith("/console/sign-in")


def test_a_proof_of_a_key_and_of_a_person_are_never_the_same(desk: Desk) -> None:
    """Nor does a subject in the form of a digest make an operator of a key."""
    found = context_of(desk.client).config
    digest = next(iter(found.operators))
    assert found.operator(digest)
    assert found.operator(Person("https://i.example", digest, "").proof) is None
    assert msgspec.json.decode(Person("i", "s", "e").proof.removeprefix("oidc ")) == ["i", "s", "e"]
