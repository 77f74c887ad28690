"""`verify-service run`: store, web, dispatcher and fake provider under one supervisor, to try and to test with."""

import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from verify_service import config as operator
from verify_service import settings
from verify_service.codes import KeyRing, Tagger, api_key_digest, decode_ring, new_api_key, new_key, new_ring
from verify_service.embedded import EmbeddedValkey
from verify_service.errors import ConfigError
from verify_service.policy import file as policy_file
from verify_service.remote import KEYS, STORE_URL, TAG_KEY
from verify_service.serve import address, check_free
from verify_service.settings import Settings
from verify_service.store.url import parse as parse_url
from verify_service.supervisor import Child, Supervisor

SIGNING_KEYS = "VERIFY_SIGNING_KEYS"


def run(
    found: Settings, environ: Mapping[str, str], host: str, port: int, workers: int, say: Callable[[str], None]
) -> int:
    """Runs everything until SIGINT or SIGTERM; the exit status. Leaves no process, port or socket behind.

    Keys that the environment does not give are made once and kept in the state folder, readable by its owner alone.
    Raises ConfigError, EmbeddedStoreError.
    """
    state = found.state_dir.resolve()
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"VERIFY_STATE_DIR: cannot make the folder {state} ({error.strerror})") from None
    check_free(host, port)
    env = dict(environ)
    for name, value, file, make in (
        ("VERIFY_KEYS", found.keys, KEYS, new_ring),
        ("VERIFY_TAG_KEY", found.tag_key, TAG_KEY, new_key),
        (SIGNING_KEYS, found.signing_keys, "signing-keys", new_ring),
        ("VERIFY_API_KEY", found.api_key, "api-key", lambda: new_api_key("default")),
    ):
        if value is None:
            env[f"{name}_FILE"] = str(_kept(state / file, make))
    # What cannot start says so here, in one line, not through a child that ends.
    whole = settings.read(env)
    config = operator.load(whole.config, whole.api_key)
    policy_file.load(whole.policy)
    KeyRing(whole.keys or "")
    Tagger(whole.tag_key or "")
    decode_ring(SIGNING_KEYS, whole.signing_keys or "")

    children = []
    store, new_store = None, False
    if found.redis_url is None:
        new_store = not (state / "valkey").exists()
        store = EmbeddedValkey(state / "valkey")
        children.append(store.child)
        env["VERIFY_REDIS_URL"] = store.url
        (state / STORE_URL).write_text(store.url)
    else:
        parse_url(found.redis_url)
    metrics = tempfile.mkdtemp(prefix="verify-metrics-")
    env[settings.METRICS_DIR] = metrics
    command = [sys.executable, "-m", "verify_service"]
    web = [*command, "web", "--host", host, "--port", str(port), "--workers", str(workers), "--quiet"]
    # Stands in the fragment of a link, which no browser sends. New with each run, and good for the inbox alone.
    inbox_key = secrets.token_urlsafe(32)
    shown = address(host, port)
    web_env = env | {settings.INBOX_KEY: api_key_digest(inbox_key), settings.WEB_ADDRESS: shown}
    # Only the web role signs.
    dispatch_env = {name: value for name, value in env.items() if name.removesuffix("_FILE") != SIGNING_KEYS}
    children.append(Child(name="dispatcher", argv=[*command, "dispatch"], env=dispatch_env, stops_within=15))
    children.append(
        Child(
            name="web",
            argv=web,
            argv_at_first=["--new-store"] * new_store,
            env=web_env,
            answers=lambda: _answers(host, port),
            answers_within=30,
        )
    )
    where = (found.api_key is None and f"in {_near(state / 'api-key')}") or "the one in VERIFY_API_KEY"

    def ready() -> None:
        say(f"verify_service   {shown}   (reference: {shown}/docs)")
        say(f"API key          {where}")
        if config.fake:
            say(f"Inbox            {shown}/fake/inbox#key={inbox_key}")
        say("Ctrl-C stops it all.")

    try:
        return Supervisor(children, on_ready=ready).run()
    finally:
        (state / STORE_URL).unlink(missing_ok=True)
        shutil.rmtree(metrics, ignore_errors=True)
        if store is not None:
            store.close()


def _kept(path: Path, make: Callable[[], str]) -> Path:
    """The file with the secret, made at the first start: never readable by others, never half written."""
    if not path.exists():
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(make() + "\n")
        fresh.rename(path)
    return path


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1) as connection:
            connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def _near(path: Path) -> str:
    """The path as it is shortest from here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
