"""The option that names a tenant: one that there is, since a slip would list, erase or replay nothing and look done."""

from collections.abc import Callable
from typing import Any

import click

from verify_service import settings


def tenant_option(words: str) -> Callable[[Any], Any]:
    """`--tenant`, one of verify.toml or `default`; exit status 2 and what was probably meant for another."""
    return click.option("--tenant", default="default", show_default=True, callback=_known, help=words)


def _known(_context: click.Context, _option: click.Parameter, tenant: str) -> str:
    from verify_service.config import load
    from verify_service.hints import nearest

    found = settings.read()
    # `default` is whom VERIFY_API_KEY speaks for, which need not be set here.
    known = {*load(found.config, found.api_key).tenants, "default"}
    if tenant in known:
        return tenant
    where = str(found.config) if found.config else "the built-in configuration; VERIFY_CONFIG is not set"
    raise click.BadParameter(f"there is no tenant {tenant!r}{nearest(tenant, known)} (by {where})")
