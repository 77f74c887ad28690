"""The alerts and the dashboard ask for what the service tells, and lead to what there is to do."""

import json
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.metrics import metrics

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "observability"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text("utf-8"))
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text("utf-8"))["groups"] for rule in group["rules"]
]
QUERIES = [(rule["alert"], rule["expr"]) for rule in RULES] + [
    (panel["title"], target["expr"]) for panel in PANELS for target in panel.get("targets", [])
]
SOURCES = "\n".join(path.read_text("utf-8") for path in (ROOT / "verify_service").rglob("*.py"))
NAMED = re.compile(r"\b(verify_[a-z_]+)(?:\{([^}]*)\})?")
NOT_OURS = {"le", "instance", "job", "alertname", "alertstate", "severity"}  # Prometheus' own labels.


def asked(expr: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Each metric that a query names, a histogram without its ending, with its matchers."""
    for name, matchers in NAMED.findall(expr):
        yield re.sub(r"_(?:bucket|sum|count)$", "", name), re.findall(r'(\w+)(?:=~|!~|!=|=)"([^"]*)"', matchers)


@pytest.mark.parametrize(("title", "expr"), QUERIES)
def test_a_query_asks_for_metrics_labels_and_values_that_there_are(title: str, expr: str) -> None:
    """Every name is one that a scrape shows; every label is one of its labels, in a matcher or a `by`; every value
    that is no pattern stands in the code."""
    known, labels = metrics(), set(NOT_OURS)
    for name, matchers in asked(expr):
        assert name in known
        assert {label for label, _ in matchers} <= set(known[name])
        labels |= {*known[name], *re.findall(r'label_replace\(.*"(\w+)", "\$1"', expr)}
        values = {each for _, value in matchers for each in value.split("|") if re.fullmatch("[a-z-]+", each)}
        assert [each for each in values if f'"{each}"' not in SOURCES and f"class {each.title()}(" not in SOURCES] == []
    assert {each for by in re.findall(r"\bby \(([^)]*)\)", expr) for each in by.split(", ")} <= labels


def test_every_metric_is_on_the_dashboard() -> None:
    """None is left out."""
    shown = {name for panel in PANELS for target in panel.get("targets", []) for name, _ in asked(target["expr"])}
    assert metrics().keys() - shown == set()


def test_the_panels_lie_side_by_side_and_each_says_what_it_shows() -> None:
    """Rows of 24 columns without a gap; legends of labels that their query keeps; a sentence for each panel."""
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    places = [panel["gridPos"] for panel in PANELS]
    for _, row in groupby(places, key=lambda place: place["y"]):
        beside = list(row)
        assert [each["x"] for each in beside] == [sum(left["w"] for left in beside[:n]) for n in range(len(beside))]
        assert sum(each["w"] for each in beside) == 24
    for panel in PANELS:
        assert panel["type"] == "row" or panel["description"].endswith(".")
        for target in panel.get("targets", []):
            kept = {each for by in re.findall(r"\bby \(([^)]*)\)", target["expr"]) for each in by.split(", ")}
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= kept


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_wrong_and_leads_to_what_to_do(rule: dict[str, Any]) -> None:
    """A summary, one of two severities, and a link to a heading, or to a page, that is there."""
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"].keys() == {"summary", "runbook_url"}
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text("utf-8"), re.MULTILINE)
    assert anchor in ["", *(re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings)]


def test_each_alert_is_expected_to_fire_and_not_to() -> None:
    """By the tests that `promtool` runs; and the runbook's table has each of them, once."""
    fires: set[str] = set()
    silent: set[str] = set()
    for name in ("alerts_test.yaml", "alerts_days_test.yaml"):
        for test in yaml.safe_load((FOLDER / name).read_text("utf-8"))["tests"]:
            for look in test["alert_rule_test"]:
                (fires if look["exp_alerts"] else silent).add(look["alertname"])
    alerts = [rule["alert"] for rule in RULES]
    assert fires == silent == set(alerts)
    table = (ROOT / "docs" / "runbook.md").read_text("utf-8").split("| alert | trouble |")[1].split("\n\n")[0]
    assert sorted(re.findall(r"`(Verify\w+)`", table)) == sorted(alerts)
