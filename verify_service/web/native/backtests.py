"""A backtest of a proposed policy beside the live service by HTTP: begun, seen and canceled."""

import msgspec
from flask import Response

from verify_service.errors import BacktestRunning, NotFound
from verify_service.insight.backtests import shown
from verify_service.policy.bounds import MOST_BYTES
from verify_service.store.backtests import Backtest
from verify_service.web import bodies
from verify_service.web.answers import json
from verify_service.web.auth import caller
from verify_service.web.context import context
from verify_service.web.native import schemas
from verify_service.web.native.policy import judge, there
from verify_service.web.native.surface import native

_body = msgspec.json.Decoder(schemas.BacktestBody)


@native.post("/admin/policy/backtest")
@native.guarded("admin")
def begin_backtest(tenant: str) -> Response:
    """Against the policy in force, once the proposed one was judged as a push of it would be."""
    body = bodies.read(_body, MOST_BYTES)
    judge(body.policy)
    here, live = context(), there()
    against = live.revision, live.text
    id, began = here.backtests.begin(here.clock.now(), caller(tenant), body.hours, body.policy, against)
    if not began:
        raise BacktestRunning(id)
    return json(shown(_kept(here.backtests.get(id))), 202)


@native.get("/admin/policy/backtest")
@native.guarded("admin")
def backtest(_tenant: str) -> Response:
    return json(shown(_kept(context().backtests.latest())))


@native.delete("/admin/policy/backtest")
@native.guarded("admin")
def cancel_backtest(tenant: str) -> Response:
    here = context()
    found = _kept(here.backtests.latest())
    if found.state != "running" or not here.backtests.cancel(here.clock.now(), found.id, caller(tenant)):
        raise NotFound("No backtest is running.")
    return json(shown(_kept(here.backtests.get(found.id))))


def _kept(found: Backtest | None) -> Backtest:
    if found is None:
        raise NotFound("No backtest was begun within a day.")
    return found
