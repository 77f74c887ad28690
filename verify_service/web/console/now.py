"""The first page: what happens now."""

from flask import Response

from verify_service.operators import Operator
from verify_service.web.console.sessions import operator
from verify_service.web.console.showing import show
from verify_service.web.console.surface import console


@console.get("/")
@operator("read")
def now(who: Operator) -> Response:
    return show("now", who, title="Now")
