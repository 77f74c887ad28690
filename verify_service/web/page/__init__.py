"""The hosted page: where a person types the code, in a browser that a caller has sent here."""

from verify_service.web.page import assets, factor_views, views
from verify_service.web.page.surface import page

__all__ = ["assets", "factor_views", "page", "views"]
