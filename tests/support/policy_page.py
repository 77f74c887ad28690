"""The page on the policy, and the schema that editors read."""

import tomllib
from pathlib import Path

import jsonschema_rs

from verify_service.policy import schema

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "policy.md").read_text("utf-8")


def judge(text: str) -> None:
    """Raises jsonschema_rs.ValidationError where an editor would mark the text."""
    jsonschema_rs.Draft202012Validator(schema.schema()).validate(tomllib.loads(text))
