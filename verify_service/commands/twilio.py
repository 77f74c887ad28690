"""What points one of Twilio's SDKs here."""

import click
import msgspec

from verify_service import settings
from verify_service.commands.tenants import tenant_option
from verify_service.errors import ConfigError, StoreUnavailable


@click.command()
@tenant_option("Whose SIDs.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def twilio(tenant: str, as_json: bool) -> None:
    """Prints a tenant's account SID and service SIDs. With them, the lines that point one of Twilio's SDKs here."""
    from verify_service.config import load
    from verify_service.remote import store_at_hand
    from verify_service.services import account, of_tenant

    found = settings.read()
    config = load(found.config, found.api_key)
    account_sid = config.accounts.get(tenant) or account(tenant)
    services = [*(config.services.get(tenant) or of_tenant(tenant, ()))]
    try:
        services += store_at_hand(found).services.all(tenant)
    except (ConfigError, StoreUnavailable):
        click.echo("no store is at hand: services that the API made are not listed", err=True)
    if config.public_url is None:
        click.echo("verify.toml has no public_url: the address below is where `run` listens by default", err=True)
    url = config.public_url or "http://127.0.0.1:8080"
    if as_json:
        listed = [{"sid": each.sid, "purpose": each.purpose} for each in services]
        click.echo(msgspec.json.encode({"account_sid": account_sid, "url": url, "services": listed}).decode())
        return
    click.echo(f"account  {account_sid}")
    for service in services:
        click.echo(f"service  {service.sid}  {service.purpose}")
    click.echo("\nfrom twilio.rest import Client")
    click.echo(f'client = Client("{account_sid}", "<API key>")')
    click.echo(f'client.verify.base_url = "{url}"')
