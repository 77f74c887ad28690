"""Alerts to the team, from the command line: what is open and what was, and a test of each channel."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click
import msgspec

from verify_service import settings
from verify_service.errors import ConfigError, DeliveryError

if TYPE_CHECKING:
    from verify_service.adapters import Provider
    from verify_service.config import Config
    from verify_service.remote import Remote
    from verify_service.settings import Settings


@click.group()
def alerts() -> None:
    """What the team is told of."""


@alerts.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def alerts_list(as_json: bool) -> None:
    """Lists the open incidents and the last that are over. With what could not be told, and why."""
    from verify_service.config import load
    from verify_service.insight.alerts import overview
    from verify_service.remote import store_at_hand

    found = settings.read()
    shown = overview(store_at_hand(found), load(found.config, found.api_key).base_url)
    if as_json:
        click.echo(msgspec.json.encode(shown).decode())
        return
    for each in shown["open"]:
        click.echo(f"open      {each['since']}  {each['title']}: {each['sentence']}{_link(each)}")
    for each in shown["past"]:
        click.echo(f"over      {each['since']} to {each['ended_at']}  {each['title']}: {each['sentence']}")
    for each in shown["waiting"]:
        click.echo(f"waiting   {each['at']}  {each['target']}: {each['says']}, {each['tries']} tries, {each['reason']}")
    for each in shown["given_up"]:
        click.echo(f"given up  {each['at']}  {each['target']}: {each['says']}, {each['reason']}")
    if not shown["open"]:
        click.echo("no open incident")


@alerts.command("test")
def alerts_test() -> None:
    """Sends a message to each target. It says what became of each; exit status 1 where one fails."""
    from verify_service.alerts.team import Team, needed
    from verify_service.alerts.wording import a_test
    from verify_service.config import load
    from verify_service.remote import remote

    found = settings.read()
    config, service = load(found.config, found.api_key), remote(found)
    providers = _providers(found, config, service, needed(config))
    team, failed = Team(config, settings.secret, providers), 0
    if not team.targets:
        raise ConfigError("[alerts] of verify.toml names no target: give it a webhook, mail or text")
    try:
        for target in team.targets:
            try:
                team.tell(a_test(target, service.clock.now()))
                click.echo(f"{target}: taken")
            except DeliveryError as error:
                failed += 1
                click.echo(f"{target}: {error.reason}")
    finally:
        for provider in providers.values():
            provider.close()
    if failed:
        raise RuntimeError(f"{failed} of {len(team.targets)} targets did not take it")


def _providers(found: "Settings", config: "Config", service: "Remote", names: set[str]) -> "Mapping[str, Provider]":
    """As a dispatcher makes them."""
    from verify_service.adapters import AdapterContext
    from verify_service.inbox import Inbox
    from verify_service.remote import ring

    made: dict[str, Provider] = {}
    for name in names:
        _, adapter, table = config.providers[name]
        inbox: Any = Inbox(service.store, ring(found), service.tagger) if adapter.fake else None
        context = AdapterContext(
            name=name,
            secret=settings.secret,
            clock=service.clock,
            callbacks=config.callbacks(name),
            inbox=inbox,
        )
        try:
            made[name] = adapter.provider(table, context)
        except ConfigError as error:
            raise ConfigError(f"providers.{name}: {error}") from None
    return made


def _link(each: Mapping[str, Any]) -> str:
    return f"  {each['link']}" if "link" in each else ""
