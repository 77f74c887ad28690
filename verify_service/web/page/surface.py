"""The page's surface: no API key, for what is asked of it is in the token; and every error is a page, too."""

from verify_service.web.html import TEMPLATES
from verify_service.web.page.showing import refused
from verify_service.web.surface import Surface

page = Surface("page", __name__, url_prefix="/v", refuse=refused, template_folder=TEMPLATES)
