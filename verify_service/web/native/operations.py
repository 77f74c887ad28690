"""What load balancers and monitoring ask."""

from flask import Response

from verify_service.telemetry import exposition
from verify_service.web.answers import json
from verify_service.web.context import context
from verify_service.web.native.surface import native

BLOCK_GAUGES = {
    "refused": "Starts that live blocks have refused.",
    "observed": "Starts that they would have refused while their rule only watched.",
    "observed_converted": "How many of these were approved.",
    "probes": "Starts that live blocks let through to see whether they convert.",
    "probes_converted": "How many of these were approved.",
}


@native.get("/healthz")
def healthz() -> Response:
    return json({"status": "alive"})


@native.get("/readyz")
def readyz() -> Response:
    """Ready where the store answers, a policy is loaded and a dispatcher is alive; found out once a second."""
    reasons = context().readiness.reasons()
    if reasons:
        return json({"status": "unready", "reasons": reasons}, 503)
    return json({"status": "ready"})


@native.get("/metrics")
@native.guarded("read")
def metrics(_tenant: str) -> Response:
    store, live = context().store, context().live
    gauges = {
        "verify_outbox_entries": ("Messages queued and not settled yet.", float(store.outbox.depth())),
        "verify_policy_revision": (
            "The revision in force in the process that answers.",
            float(live.in_force),
        ),
    }
    if endpoints := context().config.webhooks:
        waiting, dead = store.webhooks.counts(list(endpoints))
        gauges["verify_webhooks_waiting"] = ("Verifications with events for a tenant's endpoint.", float(waiting))
        gauges["verify_webhooks_dead"] = ("Events that were given up and can be replayed.", float(dead))
    blocks = store.blocks.list(context().clock.now())
    for name, words in BLOCK_GAUGES.items():
        gauges[f"verify_live_blocks_{name}"] = (words, float(sum(getattr(block, name) for block in blocks)))
    gauges["verify_live_blocks"] = ("Blocks that are live, those that only watch included.", float(len(blocks)))
    text = exposition(context().multiprocess, gauges)
    return Response(text, mimetype="text/plain", content_type="text/plain; version=0.0.4; charset=utf-8")
