"""What load balancers and monitoring ask."""

from flask import Response

from verify_service.errors import StoreUnavailable
from verify_service.insight.budgets import budgets
from verify_service.telemetry import Gauges, exposition
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
    """What this host has counted is told while the store does not answer, too: that is when it is looked at."""
    revision = "The revision in force in the process that answers."
    looked_up: Gauges = {}
    try:
        looked_up = _looked_up()
        answers = 1.0
    except StoreUnavailable:
        answers = 0.0
    always: Gauges = {
        "verify_policy_revision": (revision, float(context().live.in_force)),
        "verify_store_up": ("Whether the store answers this host: 1 or 0.", answers),
    }
    text = exposition(context().multiprocess, {**always, **looked_up})
    return Response(text, mimetype="text/plain", content_type="text/plain; version=0.0.4; charset=utf-8")


def _looked_up() -> Gauges:
    """What the store says, of all hosts alike. Raises StoreUnavailable."""
    store, now = context().store, context().clock.now()
    gauges: dict[str, tuple[str, float | dict[str, float]]] = {
        "verify_outbox_entries": ("Messages queued and not settled yet.", float(store.outbox.depth())),
        "verify_dispatchers": ("Dispatchers that say that they live.", float(store.outbox.dispatchers())),
    }
    gauges["verify_counts_behind"] = (
        "Events that no dispatcher has counted yet for the counts over time.",
        float(store.events.behind("counts")),
    )
    if endpoints := context().config.webhooks:
        waiting, dead = store.webhooks.counts(list(endpoints))
        gauges["verify_webhooks_waiting"] = ("Verifications with events for a tenant's endpoint.", float(waiting))
        gauges["verify_webhooks_dead"] = ("Events that were given up and can be replayed.", float(dead))
        gauges["verify_webhooks_behind"] = (
            "Events that no dispatcher has looked at yet for the tenants' endpoints.",
            float(store.events.behind("hooks")),
        )
    if context().live.in_force:
        spent: dict[str, float] = {}
        for each in budgets(store, context().live, list(context().config.tenants), now):  # The fullest first.
            spent.setdefault(each.name, each.share)
        words = "How much is spent of the fullest sum of a budget; 1: it refuses, or would."
        gauges["verify_budget_spent_ratio"] = (words, spent)
    blocks = store.blocks.list(now)
    for name, words in BLOCK_GAUGES.items():
        gauges[f"verify_live_blocks_{name}"] = (words, float(sum(getattr(block, name) for block in blocks)))
    gauges["verify_live_blocks"] = ("Blocks that are live, those that only watch included.", float(len(blocks)))
    return gauges
