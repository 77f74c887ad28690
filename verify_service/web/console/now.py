"""The first page: whether something is wrong, what is done and what it costs, and what to press."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from flask import Response, request
from markupsafe import Markup

from verify_service.insight import alerts, overview, situation
from verify_service.insight.budgets import Budget
from verify_service.insight.counts import Stats
from verify_service.insight.overview import WINDOWS, Window
from verify_service.operators import Operator
from verify_service.policy.verdicts import span
from verify_service.web.console import charts
from verify_service.web.console.charts import Bar, Series, Stage, counted, dollars, percent
from verify_service.web.console.forms import at
from verify_service.web.console.sessions import operator
from verify_service.web.console.showing import PAGES, show, time
from verify_service.web.console.surface import console
from verify_service.web.context import context

_TABS: Final = ("country", "channel", "provider", "tenant", "place")
_STAGES: Final = ("starts", "sent", "delivered", "approved")
_MONEY: Final = ("spend", "saved")
_LINES: Final = ("starts", "refused", "sent", "delivered", "approved")
_COLUMNS: Final = {
    "starts": "starts",
    "refused": "refused",
    "observed": "would be refused",
    "sent": "sent",
    "delivered": "delivered",
    "failed": "failed",
    "approved": "approved",
    "spend": "spent",
    "billed": "billed",
    "saved": "saved",
}
MONEY: Final = frozenset({"spend", "billed", "saved"})
_FILTERS: Final = {"country": "country", "tenant": "tenant", "place": "range"}
"""What the decisions are asked for by a group's name."""
_MOST_ROWS, _MOST_LINES, _MOST_PLACES = 20, 4, 10
MICRO: Final = 1_000_000


@console.get("/")
@operator("read")
def now(who: Operator) -> Response:
    """All of it is read anew by the page itself every few seconds."""
    asked = request.args.get("span", ""), request.args.get("by", "")
    name = asked[0] if asked[0] in WINDOWS else "1h"
    by = asked[1] if asked[1] in _TABS else "country"
    live = "X-Live" in request.headers
    return show("now_live" if live else "now", who, title="Now", name=name, by=by, **_seen(WINDOWS[name], by))


def leads(page: str, query: Mapping[str, str]) -> str:
    """The address of a page with what it is asked, '' where there is no such page."""
    path = next((entry.path for entry in PAGES if entry.page == page), "")
    return at(f"{path}?{urlencode(query)}" if query else path) if path else ""


def _seen(window: Window, by: str) -> dict[str, Any]:
    store, rules, moment = context().store, context().service.rules, context().clock.now()
    total, groups, by_rule = (overview.over(store, window, moment, each) for each in ("total", by, "rule"))
    picture = overview.picture(store, context().config, rules, moment, context().readiness.reasons())
    found = situation.situation(picture)
    sums, then = overview.sums(total), overview.before(store, window, moment)
    stages = [Stage(name, sums.get(name, 0), round(then.get(name, 0)) if then else None) for name in _STAGES]
    hidden = max(0, len(picture.blocks) - _MOST_PLACES)
    return {
        "state": found.state,
        "headline": found.headline,
        "findings": [
            (finding.sentence, [(each.words, leads(each.page, each.query)) for each in finding.press])
            for finding in found.findings
        ],
        "incidents": [
            (alerts.title(each), each.since, each.sentence, at(each.page)) for each in alerts.open_incidents(store)
        ],
        "lately": bool(sums or picture.day or picture.hour),
        "windows": {name: each.words for name, each in WINDOWS.items()},
        "tabs": _TABS,
        "funnel": charts.funnel(f"From start to approval, {window.words}", stages, window.before),
        "over_time": charts.lines("Over time", total.buckets, _series(total, "total", _LINES), window.step),
        "money": charts.lines("Money", total.buckets, _series(total, "total", _MONEY), window.step, dollars),
        "by_time": charts.lines(f"By {by}, over time", groups.buckets, _top(groups), window.step),
        "table": _table(groups),
        "refusals": charts.bars("Refusals by rule", _refusals(by_rule), "Nothing was refused in this time."),
        "budgets": charts.bars(
            "Budgets",
            [_budget(each) for each in picture.budgets],
            "No budget has counted anything. The policy's rules of the kind budget say what may be spent.",
        ),
        "blocks": picture.blocks[:_MOST_PLACES],
        "hidden": hidden,
        "blocks_at": leads("blocks", {}),
    }


def _series(found: Stats, name: str, counters: Sequence[str]) -> list[Series]:
    """The counters of a group over time, money in dollars."""
    group, none = found.groups.get(name, {}), (0,) * len(found.buckets)
    return [
        Series(_COLUMNS[counter], [n / MICRO for n in values] if counter in MONEY else values)
        for counter in counters
        for values in (group.get(counter, none),)
    ]


def _main(found: Stats) -> str:
    """What a group is ordered by: its starts, or what was sent where starts are not told by it."""
    return "starts" if any("starts" in group for group in found.groups.values()) else "sent"


def _top(found: Stats) -> list[Series]:
    """The busiest groups over time, and the others together."""
    counter = _main(found)
    lines = {name: group[counter] for name, group in found.groups.items() if counter in group}
    ordered = sorted(lines, key=lambda name: (name == "other", -sum(lines[name]), name))
    shown, rest = ordered[:_MOST_LINES], ordered[_MOST_LINES:]
    others = [Series("others", [sum(values) for values in zip(*(lines[name] for name in rest), strict=True)])]
    return [Series(name, lines[name]) for name in shown] + (others if rest else [])


def _table(found: Stats) -> dict[str, Any]:
    """The groups, the busiest first: a heading for each column, and for each group its name, where that leads, and its
    figures. Columns that are 0 throughout are left out."""
    counter = _main(found)
    groups = {name: overview.sums(found, name) for name in found.groups}
    ordered = sorted(groups, key=lambda name: (name == "other", -groups[name].get(counter, 0), name))
    columns = [each for each in _COLUMNS if any(group.get(each) for group in groups.values())]
    converts = "starts" in columns and "approved" in columns
    rows = []
    for name in ordered[:_MOST_ROWS]:
        group = groups[name]
        figures = [_figure(each, group.get(each, 0)) for each in columns]
        if converts:
            figures.append(percent(group.get("approved", 0), group.get("starts", 0) - group.get("refused", 0)))
        query = {_FILTERS[found.by]: name} if found.by in _FILTERS and name != "other" else {}
        rows.append((name, leads("decisions", query) if query else "", figures))
    heads = [_COLUMNS[each] for each in columns] + (["approved of admitted"] if converts else [])
    return {"heads": heads, "rows": rows, "more": max(0, len(ordered) - _MOST_ROWS)}


def _figure(counter: str, n: int) -> str:
    return dollars(n / MICRO) if counter in MONEY else counted(n)


def _refusals(found: Stats) -> list[Bar]:
    """By rule, with what it would have refused where it only watches."""
    told = {name: overview.sums(found, name) for name in found.groups}
    hits = {name: sums.get("refused", 0) + sums.get("observed", 0) for name, sums in told.items()}
    most = max(hits.values(), default=0)
    return [_refusal(name, told[name], hits[name], most) for name in sorted(hits, key=lambda name: (-hits[name], name))]


def _refusal(name: str, sums: Mapping[str, int], hits: int, most: int) -> Bar:
    refused, observed = sums.get("refused", 0), sums.get("observed", 0)
    words = [f"{counted(refused)} refused, {dollars(sums.get('saved', 0) / MICRO)} saved"] if refused else []
    words += [f"{counted(observed)} would have been refused"] if observed else []
    outcome = "refused" if refused else "observed"
    return Bar(name, hits, most, "; ".join(words), leads("decisions", {"outcome": outcome, "rule": name}))


def _budget(each: Budget) -> Bar:
    whose = " ".join(filter(None, (each.country, each.tenant)))
    figures = f"{dollars(each.used)} of {dollars(each.most)} within {span(each.window)}"
    left = dollars(max(0.0, each.most - each.used))
    words: str = f"{figures}; {left} left"
    if each.frees_at:
        words = Markup("{}; room again at {}").format(figures, time(each.frees_at))
    state = "full" if each.frees_at else "near" if each.share >= situation.BUDGET_SHARE else ""
    watched = " (only watched)" if each.mode == "observe" else ""
    return Bar(f"{each.name} {whose}{watched}".strip(), each.used, each.most, words, state=state)
