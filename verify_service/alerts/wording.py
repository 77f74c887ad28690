"""What an incident says: as the body of a webhook, as an email, as a text."""

import re
import secrets
from typing import NamedTuple

import msgspec

from verify_service.duration import rfc3339
from verify_service.insight import alerts
from verify_service.store.alert_layouts import Incident, Telling

_SAYS = {"opened": "", "lasts": "Still: ", "resolved": "Resolved: ", "test": ""}
_MOST = 300


class Mail(NamedTuple):
    """An email: its subject is one line."""

    subject: str
    body: str


def a_test(target: str, now: int) -> Telling:
    """A message that only shows that a target is reached."""
    incident = Incident(
        id=f"al_{secrets.token_hex(16)}",
        rule="test",
        object="",
        page="/",
        sentence="Nothing has happened. Alerts reach you here.",
        figures={},
        since=now,
        seen=now,
    )
    return Telling(id=f"{incident.id}.test.{now}.{target}", target=target, says="test", at=now, incident=incident)


def plain(text: str) -> str:
    """One line of visible ASCII without a link, whoever wrote it: a header, a line or a link is only ever ours."""
    line = re.sub(r"[^\x20-\x7e]+", " ", text)
    return re.sub(r":?//+|\.(?=[A-Za-z])", " ", line)[:_MOST].strip()


def payload(telling: Telling, base_url: str | None) -> bytes:
    """The body for a webhook, the same at each try."""
    data = alerts.shown(telling.incident, base_url)
    data |= {name: plain(data[name]) for name in ("title", "object", "sentence")}
    return msgspec.json.encode(
        {"type": f"alert.{telling.says}", "timestamp": rfc3339(telling.at), "data": data},
    )


def mail(telling: Telling, base_url: str | None) -> Mail:
    """Title and sentence, since when, the figures, and where to look."""
    incident = telling.incident
    subject = _SAYS.get(telling.says, "") + plain(alerts.title(incident))
    lines = [plain(incident.sentence), "", f"Since {rfc3339(incident.since)}"]
    if incident.ended:
        lines.append(f"Over at {rfc3339(incident.ended)}")
    lines += [f"{plain(name).replace('_', ' ')}: {value:,g}" for name, value in sorted(incident.figures.items())]
    if where := alerts.link(incident, base_url):
        lines += ["", where]
    return Mail(f"[Verify] {subject}", "\n".join(lines) + "\n")


def text(telling: Telling, base_url: str | None) -> str:
    """One line for a phone."""
    incident = telling.incident
    said = f"Verify: {_SAYS.get(telling.says, '')}{plain(alerts.title(incident))}. {plain(incident.sentence)}"
    where = alerts.link(incident, base_url)
    return f"{said} {where}" if where else said
