"""What is known of a person's consent, what a caller says of it, and to forget a person."""

import msgspec
from flask import Blueprint, Response

from verify_service.consents import shown
from verify_service.errors import InvalidRequest
from verify_service.web import bodies
from verify_service.web.auth import guarded
from verify_service.web.native import json
from verify_service.web.parts import parts

# What the service itself writes: a person's own text, a vendor's word. A key must not forge how a consent came to be.
OWN_SOURCES = ("sms", "rcs", "whatsapp", "carrier")

consents = Blueprint("consents", __name__, url_prefix="/consents")

_consent = msgspec.json.Decoder(bodies.ConsentBody)


@consents.get("/<number>")
@guarded("read")
def look(tenant: str, number: str) -> Response:
    e164 = bodies.real_recipient(number)
    return json(shown(e164, parts().consents.look(tenant, e164)))


@consents.put("/<number>")
@guarded("verify")
def record(tenant: str, number: str) -> Response:
    """By who starts verifications, since who asks for a code is who collects the consent to it. The answer is what was
    recorded and no trail: that takes a key that may read."""
    body = bodies.read(_consent)
    if body.source in OWN_SOURCES:
        raise InvalidRequest("source", f"`{body.source}` is only for what the service hears itself; write another word")
    e164 = bodies.real_recipient(number)
    recorded = shown(e164, parts().consents.record(tenant, e164, body.state, body.source, body.note))
    del recorded["trail"]
    return json(recorded)


@consents.delete("/<number>")
@guarded("admin")
def forget(tenant: str, number: str) -> Response:
    parts().people.erase(tenant, bodies.real_recipient(number), f"api:{tenant}", "DELETE /consents")
    return Response(status=204)
