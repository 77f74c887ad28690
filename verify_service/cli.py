"""The command line. Results on standard output, errors on standard error; 0 done, 1 failed, 2 bad use or input."""

import os
import re
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path

import click
import msgspec

from verify_service import __version__, settings
from verify_service.commands import explain, policies
from verify_service.commands.alerts import alerts
from verify_service.commands.audit import audit
from verify_service.commands.backtest import backtest
from verify_service.commands.blocks import blocks
from verify_service.commands.decisions import decisions
from verify_service.commands.demo import demo
from verify_service.commands.factors import factors, reseal
from verify_service.commands.messages import messages
from verify_service.commands.person import person
from verify_service.commands.providers import providers
from verify_service.commands.record import milliseconds, record
from verify_service.commands.sessions import sessions
from verify_service.commands.simulate import simulate
from verify_service.commands.twilio import twilio
from verify_service.commands.webhooks import webhooks
from verify_service.errors import ConfigError, StoreUnavailable

# The roles import what they need when they are called, so that `keys new` and `--help` answer at once.


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="verify-service")
def commands() -> None:
    """A self-hosted one-time-code service: start, send, check, expire."""


_host = click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
_port = click.option("--port", default=8080, show_default=True, type=click.IntRange(1, 65535), help="The port.")
_workers = click.option(
    "--workers", default=2, show_default=True, type=click.IntRange(1, 64), help="Processes that serve requests."
)


@commands.command()
@_host
@_port
@_workers
def run(host: str, port: int, workers: int) -> None:
    """The whole service at once. Store, web, dispatcher, and the fake provider unless real ones are configured."""
    from verify_service.run import run as run_all

    sys.exit(run_all(settings.read(), settings.inherited(), host, port, workers, click.echo))


@commands.command()
@_host
@_port
@_workers
@click.option("--access-log", is_flag=True, help="A line in the log for each request; no number or address in it.")
@click.option("--quiet", is_flag=True, hidden=True, help="Does not say where it listens: `run` says it.")
@click.option("--new-store", is_flag=True, hidden=True, help="The store has never been used: `run` has just made it.")
def web(host: str, port: int, workers: int, access_log: bool, quiet: bool, new_store: bool) -> None:
    """The web role alone, against VERIFY_REDIS_URL."""
    with settings.shared_metrics():
        from verify_service.app import judge_web, wsgi
        from verify_service.runtime import Runtime
        from verify_service.serve import address, check_free, serve
        from verify_service.store.url import shown
        from verify_service.telemetry import configure_logs, log

        configure_logs()
        found = settings.read()
        runtime = Runtime(found)
        revision = judge_web(runtime, new_store=new_store)
        check_free(host, port)
        if not quiet:
            click.echo(f"verify-service web   {address(host, port)}", err=True)
            where = {"address": address(host, port), "workers": workers, "store": shown(found.redis_url or "")}
            log("web").info("started", version=__version__, revision=revision, **where)
        load = partial(wsgi, access_log=access_log)
        serve(host, port, workers, load, long_polls=runtime.config.fake, quiet=quiet)


@commands.command()
@click.option("--metrics-host", default="127.0.0.1", show_default=True, help="The address that metrics are served on.")
@click.option(
    "--metrics-port",
    type=click.IntRange(1, 65535),
    help="Serves this dispatcher's metrics at http://HOST:PORT/metrics, without a key.",
)
def dispatch(metrics_host: str, metrics_port: int | None) -> None:
    """The dispatch role alone, against VERIFY_REDIS_URL. SIGTERM drains it."""
    from verify_service.dispatching import dispatch as work
    from verify_service.process import ENDS_WITHIN, hearing_signals
    from verify_service.serve import check_free
    from verify_service.telemetry import serve_metrics

    if metrics_port:
        check_free(metrics_host, metrics_port, "--metrics-port")
        serve_metrics(metrics_host, metrics_port)
    stop = threading.Event()
    with hearing_signals(lambda _: stop.set(), [signal.SIGINT, signal.SIGTERM], ENDS_WITHIN):
        work(stop)


@commands.group()
def policy() -> None:
    """The security team's file."""


@policy.command("default")
@click.option("--enforce", is_flag=True, help="Every limit and rule in enforce mode.")
def policy_default(enforce: bool) -> None:
    """Prints the shipped default policy."""
    from verify_service.policy.file import default_text

    click.echo(default_text(enforce=enforce), nl=False)


@policy.command("check")
@click.argument("file", type=click.Path(path_type=Path))
def policy_check(file: Path) -> None:
    """Reads a policy and says what it allows. Exit status 2 and the key at fault where it cannot be used."""
    from verify_service.policy.file import load
    from verify_service.policy.summary import lines

    first, *others = lines(load(file))
    click.echo(f"{file}: {first}")
    for line in others:
        click.echo(line)


@policy.command("schema")
def policy_schema() -> None:
    """Prints the JSON Schema of the policy file, for editors."""
    from verify_service.policy.schema import text

    click.echo(text(), nl=False)


for each in (explain.explain, policies.push, policies.show, policies.log, policies.diff, policies.rollback, backtest):
    policy.add_command(each)


commands.add_command(simulate)
commands.add_command(demo)

commands.add_command(explain.unlock)
commands.add_command(alerts)
commands.add_command(audit)
commands.add_command(blocks)
commands.add_command(decisions)
commands.add_command(providers)
commands.add_command(person)
commands.add_command(record)
commands.add_command(sessions)
commands.add_command(webhooks)
commands.add_command(messages)
commands.add_command(twilio)
commands.add_command(factors)


@commands.group()
def events() -> None:
    """Recorded traffic."""


@events.command("export")
@click.option(
    "--since", "back", default="24h", show_default=True, callback=milliseconds, help="How far back: 90s, 30m, 24h, 7d."
)
@click.option("--follow", is_flag=True, help="Go on with what happens from now on.")
def events_export(back: int, follow: bool) -> None:
    """Prints recorded traffic as JSON lines, pseudonymised."""
    from verify_service.remote import store_at_hand

    source = store_at_hand(settings.read()).events
    begin = time.time_ns() // 1_000_000 - back
    encode = msgspec.json.Encoder().encode
    for event in source.follow(begin) if follow else source.read(begin):
        if event is None:
            sys.stdout.flush()
        else:
            sys.stdout.write(encode(event).decode() + "\n")


@commands.group()
def keys() -> None:
    """Master keys, and those that sign."""


@keys.command("new")
def keys_new() -> None:
    """Prints new keys of each kind for an environment file."""
    from verify_service.codes import new_key, new_ring

    click.echo(f"VERIFY_KEYS={new_ring()}")
    click.echo(f"VERIFY_TAG_KEY={new_key()}")
    click.echo(f"VERIFY_SIGNING_KEYS={new_ring()}")


keys.add_command(reseal)


@commands.group()
def apikey() -> None:
    """API keys."""


@apikey.command("new")
@click.option("--tenant", help="Whose key it is, to call the API.")
@click.option("--operator", help="Or the person whose key it is, to sign in to the console.")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(["verify", "admin", "read"]),
    multiple=True,
    help="What it may do; give it again for more.  [default: verify; of an operator, read]",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def apikey_new(tenant: str | None, operator: str | None, scopes: tuple[str, ...], as_json: bool) -> None:
    """Prints a new key, once. With it, the line for verify.toml that lets it in."""
    from verify_service.codes import api_key_digest, new_api_key
    from verify_service.operators import NAME

    if (tenant is None) == (operator is None):
        raise click.UsageError("Give --tenant, or --operator for the console.")
    if tenant is not None and not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", tenant):
        raise click.BadParameter("is lower-case letters, digits and hyphens, 32 at most", param_hint="--tenant")
    if operator is not None and not re.fullmatch(NAME, operator):
        raise click.BadParameter("is letters, digits, spaces and . _ @ -, 64 at most", param_hint="--operator")
    scopes = scopes or (("verify",) if operator is None else ("read",))
    if operator is not None and "verify" in scopes:
        raise click.BadParameter("an operator may `read`, or be `admin`", param_hint="--scope")
    key = new_api_key(tenant or "operator")
    digest = api_key_digest(key)
    if as_json:
        whose = {"tenant": tenant} if operator is None else {"operator": operator}
        click.echo(msgspec.json.encode({"key": key, "digest": digest, **whose, "scopes": scopes}).decode())
        return
    wanted = ", ".join(f'"{scope}"' for scope in scopes)
    click.echo(f"key     {key}")
    click.echo(f"digest  {digest}")
    if operator is None:
        entry = f'[tenants.{tenant}]:  api_keys = [{{ digest = "{digest}", scopes = [{wanted}] }}]'
        click.echo(f"in verify.toml under {entry}")
    else:
        click.echo(f'in verify.toml:\n[[operators]]\nname = "{operator}"\ndigest = "{digest}"\nscopes = [{wanted}]')


def main() -> None:
    """The entry point. Errors of ours are one line; a closed pipe is no error."""
    try:
        commands.main(standalone_mode=False)
    except click.exceptions.Exit as leave:
        sys.exit(leave.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except ConfigError as error:
        click.echo(f"verify-service: {error}", err=True)
        sys.exit(2)
    except StoreUnavailable as error:
        click.echo(f"verify-service: the store does not answer ({error.reason}); see VERIFY_REDIS_URL", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (RuntimeError, OSError) as error:
        click.echo(f"verify-service: {error}", err=True)
        sys.exit(1)
