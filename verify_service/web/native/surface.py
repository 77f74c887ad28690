"""The native API: JSON by API key, and problem details where something is wrong."""

from verify_service.web.auth import bearer
from verify_service.web.problems import problem_json
from verify_service.web.surface import Surface

native = Surface("native", __name__, authenticate=bearer, refuse=problem_json)
