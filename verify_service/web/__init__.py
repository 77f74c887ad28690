"""HTTP: the Flask app and the surfaces that it mounts. `create_app` is given everything it works with."""

from flask import Flask

from verify_service import tracing
from verify_service.web import access
from verify_service.web.callbacks import callbacks
from verify_service.web.console import console
from verify_service.web.context import EXTENSION, WebContext
from verify_service.web.docs import docs
from verify_service.web.lean import App
from verify_service.web.native import fake, native
from verify_service.web.page import page
from verify_service.web.problems import MOST_BYTES
from verify_service.web.surface import install
from verify_service.web.traced import Traced
from verify_service.web.twilio import twilio


def create_app(context: WebContext, *, access_log: bool = False) -> Flask:
    """The WSGI app. The fake provider's paths exist only where `context.inbox` is given."""
    app = App(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES + 1  # Of forms; `bodies.raw` has bounds of its own.
    app.url_map.merge_slashes = False  # A path is right or 404, not nearly right and a redirect in HTML.
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.extensions[EXTENSION] = context
    if tracing.is_on():
        app.wsgi_app = Traced(app.wsgi_app)  # type: ignore[method-assign]
    if access_log:
        access.install(app)
    app.register_blueprint(native)
    app.register_blueprint(page)
    app.register_blueprint(console)
    app.register_blueprint(docs)
    app.register_blueprint(callbacks)
    if context.config.facades.twilio:
        app.register_blueprint(twilio)
    if context.inbox is not None:
        app.register_blueprint(fake)
    install(app, fallback=native)
    return app
