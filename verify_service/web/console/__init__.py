"""The console: pages for the people who look after the service.

Each page is a module here and a template in `templates/console/`. A GET changes nothing; a POST is answered with a
redirect. Whatever a page does, the API and the command line can do as well.
"""

from verify_service.web.console import (
    assets,
    audit,
    blocks,
    decisions,
    delivery,
    lookup,
    now,
    openid,
    policy,
    revisions,
    signing_in,
)
from verify_service.web.console.surface import console

__all__ = ["console"]
_PAGES = (assets, audit, blocks, decisions, delivery, lookup, now, openid, policy, revisions, signing_in)
