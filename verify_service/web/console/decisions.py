"""The latest decisions on starts: who was refused, by what, and what to do about it."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from flask import Response, request

from verify_service.errors import InvalidRequest, NotFound
from verify_service.insight import decisions
from verify_service.operators import Operator
from verify_service.policy.decisions import REFUSALS
from verify_service.web.console.sessions import operator
from verify_service.web.console.showing import HEADERS, show
from verify_service.web.console.surface import console
from verify_service.web.context import context

_COLUMNS: Final = (
    *("at", "outcome", "rule", "observed", "sentence", "advice", "country", "range", "number", "tenant", "purpose"),
    *("channel", "ip", "price", "repeats", "revision", "id", "decision"),
)
_KINDS: Final = {"csv": "text/csv", "jsonl": "application/jsonl"}
_FORMULA: Final = ("=", "+", "-", "@", "\t")
"""What spreadsheets take for the beginning of a formula (OWASP, CSV injection)."""


@console.get("/decisions")
@operator("read")
def latest_decisions(who: Operator) -> Response:
    said, answer, faults = _said(), None, {}
    try:
        answer = _decided(said)
    except InvalidRequest as error:
        faults = {each["field"]: each["message"] for each in error.members["errors"]}
    filters = {name: value for name, value in said.items() if name != "before"}
    book = context().service.rules()
    return show(
        "decisions",
        who,
        status=400 if faults else 200,
        title="Decisions",
        said_of=said,
        faults=faults,
        answer=answer,
        filters=filters,
        query=urlencode(said),
        older=urlencode({**filters, "before": answer.before or ""}) if answer else "",
        rules=[*(each.name for each in book.policy.limits), *book.modes, "countries", "line-types", *sorted(REFUSALS)],
        tenants=sorted(context().config.tenants),
    )


@console.get("/decisions.<kind>")
@operator("read")
def decisions_file(_who: Operator, kind: str) -> Response:
    """The same decisions as a file."""
    if kind not in _KINDS:
        raise NotFound("There is no such file.")
    rows = decisions.shown(_decided(_said()))["decisions"]
    text = _csv(rows) if kind == "csv" else "".join(f"{msgspec.json.encode(row).decode()}\n" for row in rows)
    response = Response(text, mimetype=_KINDS[kind])
    response.headers.update(HEADERS)
    response.headers["Content-Disposition"] = f'attachment; filename="decisions.{kind}"'
    return response


def _said() -> dict[str, str]:
    """What the form says, without the fields that were left empty and what the address says of itself."""
    return {name: value.strip() for name, value in request.args.items() if value.strip() and name != "said"}


def _decided(said: Mapping[str, str]) -> decisions.Answer:
    return decisions.decided(context().store, context().clock.now(), decisions.asked(said))


def _csv(rows: Iterable[Mapping[str, Any]]) -> str:
    file = io.StringIO()
    written = csv.writer(file)
    written.writerow(_COLUMNS)
    written.writerows([_cell(row.get(name, "")) for name in _COLUMNS] for row in rows)
    return file.getvalue()


def _cell(value: Any) -> str:
    text = " ".join(value) if isinstance(value, list | tuple) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
