"""What is known of a person's consent, what a caller says of it, and to forget a person."""

import msgspec
from flask import Response

from verify_service.consents import shown
from verify_service.errors import InvalidRequest
from verify_service.web import bodies
from verify_service.web.answers import json
from verify_service.web.auth import caller
from verify_service.web.context import context
from verify_service.web.native import parameters, schemas
from verify_service.web.native.surface import native

# What the service itself writes: a person's own text, a vendor's word. A key must not forge how a consent came to be.
OWN_SOURCES = ("sms", "rcs", "whatsapp", "carrier")

_consent = msgspec.json.Decoder(schemas.ConsentBody)


@native.get("/consents/<number>")
@native.guarded("read")
def consent(tenant: str, number: str) -> Response:
    e164 = parameters.real_recipient(number)
    return json(shown(e164, context().consents.look(tenant, e164)))


@native.put("/consents/<number>")
@native.guarded("verify")
def record(tenant: str, number: str) -> Response:
    """By who starts verifications, since who asks for a code is who collects the consent to it. The answer is what was
    recorded and no trail: that takes a key that may read."""
    body = bodies.read(_consent)
    if body.source in OWN_SOURCES:
        raise InvalidRequest("source", f"`{body.source}` is only for what the service hears itself; write another word")
    e164 = parameters.real_recipient(number)
    by = caller(tenant, application=True)
    recorded = shown(e164, context().consents.record(tenant, e164, body.state, body.source, by, body.note))
    del recorded["trail"]
    return json(recorded)


@native.delete("/consents/<number>")
@native.guarded("admin")
def forget(tenant: str, number: str) -> Response:
    context().data_subjects.erase(tenant, parameters.real_recipient(number), caller(tenant), "DELETE /consents")
    return Response(status=204)
