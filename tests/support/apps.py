"""Apps in this process, for tests that need no server."""

from collections.abc import Sequence
from copy import copy

from flask import Blueprint, Flask

from verify_service.web import create_app
from verify_service.web.context import EXTENSION, WebContext

_routed: dict[bool, Flask] = {}
"""With and without Twilio's API."""


def app_of(context: WebContext, mounts: Sequence[Blueprint] = ()) -> Flask:
    """The app of a context. To make its routes takes longer than most tests, so all apps that mount no more share them;
    what hangs on an app is its own."""
    if mounts:
        own = create_app(context)
        for each in mounts:
            own.register_blueprint(each)
        return own
    twilio = context.config.facades.twilio
    if twilio not in _routed:
        _routed[twilio] = create_app(context)
        _routed[twilio].extensions.clear()  # It serves nobody, and holds no store.
    made = copy(_routed[twilio])
    made.extensions = {EXTENSION: context}
    return made
