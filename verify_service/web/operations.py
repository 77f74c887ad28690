"""What load balancers and monitoring ask."""

from flask import Blueprint, Response

from verify_service.telemetry import exposition
from verify_service.web.auth import guarded
from verify_service.web.native import json
from verify_service.web.parts import parts

BLOCK_GAUGES = {
    "refused": "Starts that live blocks have refused.",
    "observed": "Starts that they would have refused while their rule only watched.",
    "observed_converted": "How many of these were approved.",
    "probes": "Starts that live blocks let through to see whether they convert.",
    "probes_converted": "How many of these were approved.",
}

operations = Blueprint("operations", __name__)


@operations.get("/healthz")
def healthz() -> Response:
    return json({"status": "alive"})


@operations.get("/readyz")
def readyz() -> Response:
    """Ready where the store answers, a policy is loaded and a dispatcher is alive; found out once a second."""
    reasons = parts().readiness.reasons()
    if reasons:
        return json({"status": "unready", "reasons": reasons}, 503)
    return json({"status": "ready"})


@operations.get("/metrics")
@guarded("read")
def metrics(_tenant: str) -> Response:
    gauges = {
        "verify_outbox_entries": ("Messages queued and not settled yet.", float(parts().store.outbox.depth())),
        "verify_policy_revision": ("The revision in force in the process that answers.", float(parts().live.in_force)),
    }
    if endpoints := parts().config.webhooks:
        waiting, dead = parts().store.webhooks.counts(list(endpoints))
        gauges["verify_webhooks_waiting"] = ("Verifications with events for a tenant's endpoint.", float(waiting))
        gauges["verify_webhooks_dead"] = ("Events that were given up and can be replayed.", float(dead))
    live = parts().store.blocks.list(parts().clock.now())
    for name, words in BLOCK_GAUGES.items():
        gauges[f"verify_live_blocks_{name}"] = (words, float(sum(getattr(block, name) for block in live)))
    gauges["verify_live_blocks"] = ("Blocks that are live, those that only watch included.", float(len(live)))
    text = exposition(parts().multiprocess, gauges)
    return Response(text, mimetype="text/plain", content_type="text/plain; version=0.0.4; charset=utf-8")
