"""What load balancers and monitoring ask."""

from flask import Blueprint, Response

from verify_service.errors import StoreUnavailable
from verify_service.telemetry import exposition
from verify_service.web.auth import guarded
from verify_service.web.native import json
from verify_service.web.parts import parts

operations = Blueprint("operations", __name__)


@operations.get("/healthz")
def healthz() -> Response:
    return json({"status": "alive"})


@operations.get("/readyz")
def readyz() -> Response:
    """Ready where the store answers and a dispatcher is alive; the policy was loaded before the first request."""
    store = parts().store
    reasons = []
    try:
        store.link.ping()
        if not store.outbox.alive():
            reasons.append("no dispatcher is alive: messages wait in the outbox")
    except StoreUnavailable as error:
        reasons.append(f"the store does not answer ({error.reason})")
    if reasons:
        return json({"status": "unready", "reasons": reasons}, 503)
    return json({"status": "ready"})


@operations.get("/metrics")
@guarded("read")
def metrics(_tenant: str) -> Response:
    gauges = {"verify_outbox_entries": ("Messages queued and not settled yet.", float(parts().store.outbox.depth()))}
    text = exposition(parts().multiprocess, gauges)
    return Response(text, mimetype="text/plain", content_type="text/plain; version=0.0.4; charset=utf-8")
