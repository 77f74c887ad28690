"""HTTP: the Flask app. `create_app` is given everything it works with."""

from flask import Flask, request
from werkzeug.exceptions import NotFound

from verify_service.web import access, problems
from verify_service.web.admin import admin
from verify_service.web.blocks import blocks
from verify_service.web.consents import consents
from verify_service.web.fake import fake
from verify_service.web.inquiry import inquiry
from verify_service.web.native import native
from verify_service.web.operations import operations
from verify_service.web.pages import pages
from verify_service.web.parts import EXTENSION, Parts
from verify_service.web.problems import MOST_BYTES
from verify_service.web.providers import providers


def _exact() -> None:
    """The router forgives slashes in front; a path here is right, or none."""
    if request.environ["PATH_INFO"].startswith("//"):
        raise NotFound


def create_app(parts: Parts, *, access_log: bool = False) -> Flask:
    """The WSGI app. The fake provider's paths exist only where `parts.inbox` is given."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES + 1  # A chunked body is cut there, and seen to be too long.
    app.url_map.merge_slashes = False  # A path is right or 404, not nearly right and a redirect in HTML.
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.extensions[EXTENSION] = parts
    app.before_request(_exact)
    problems.install(app)
    if access_log:
        access.install(app)
    for blueprint in (native, operations, pages, admin, inquiry, blocks, consents, providers):
        app.register_blueprint(blueprint)
    if parts.inbox is not None:
        app.register_blueprint(fake)
    return app
