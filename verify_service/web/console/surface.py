"""The console's surface: people who are signed in, and every error a page."""

from verify_service.web.console.showing import refused
from verify_service.web.html import TEMPLATES
from verify_service.web.surface import Surface

console = Surface("console", __name__, url_prefix="/console", refuse=refused, template_folder=TEMPLATES)
