"""Debian's Prometheus: the alerts fire when they should, and a real scrape answers the queries of the dashboard."""

import json
import re
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml

from tests.peers.tools import promtool
from tests.support.live import PATIENCE_S, until
from verify_service.embedded import free_port
from verify_service.testing import VerifyClient, VerifyInbox, VerifyProblem, start_server

FOLDER = Path(__file__).parents[2] / "docs" / "observability"
PROMETHEUS = "/usr/bin/prometheus"
NUMBER = "+14155550123"
PANELS: list[dict[str, Any]] = json.loads((FOLDER / "dashboard.json").read_text("utf-8"))["panels"]
# What one verification and a refused start show.
BUSY = {
    *(
        "Answers of providers",
        "Checks",
        "From a start to the first try",
        "From start to approval",
        "Outbox",
        "Problems",
    ),
    *("Receipts", "Refused", "Starts", "Tries to send", "Web roles, dispatchers", "Weight of providers"),
}


@pytest.mark.parametrize("name", ["alerts_test.yaml", "alerts_days_test.yaml"])
def test_each_alert_fires_when_it_should_and_not_before(name: str) -> None:
    """As the files beside the alerts say: silent in quiet minutes, and then with these labels and words."""
    assert "SUCCESS" in promtool("test", "rules", FOLDER / name)


def queries(panel: dict[str, Any]) -> list[str]:
    """As Grafana asks them, with its variables filled in."""
    told = [target["expr"] for target in panel.get("targets", [])]
    return [expr.replace("$__rate_interval", "1m").replace("$provider", ".*") for expr in told]


def judged(groups: list[dict[str, Any]], among: str = "", what: str = "health") -> set[str]:
    """What Prometheus says of the rules, of one group alone where it is named."""
    return {rule[what] for group in groups if among in group["name"] for rule in group["rules"]}


def configured(folder: Path, web: str, key: str) -> Path:
    """The README's prometheus.yml, with what is of this machine in place of what is of the reader's."""
    printed = re.findall(r"```yaml\n(.*?)```", (FOLDER / "README.md").read_text("utf-8"), re.DOTALL)[0]
    settings = yaml.safe_load(printed.replace("/etc/prometheus/", f"{folder}/").replace("15s", "1s"))
    settings["global"]["evaluation_interval"] = "1s"
    for job in settings["scrape_configs"]:  # `run` tells both roles' metrics, so it stands for a dispatcher as well.
        job["static_configs"] = [{"targets": [web]}]
        job["authorization"] = {"credentials_file": f"{folder}/verify.key"}
    (folder / "verify.key").write_text(key)
    (folder / "verify-alerts.yaml").write_bytes((FOLDER / "alerts.yaml").read_bytes())
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    return folder / "prometheus.yml"


def test_a_real_prometheus_is_fed_and_answers_each_query_of_the_dashboard(tmp_path: Path) -> None:
    """By the README's configuration, from a service with an approved verification and a refused start: both jobs are
    up, the panels show what happened, every rule can be judged, and no role is missed."""
    url = f"http://127.0.0.1:{free_port()}"

    def ready() -> bool:
        with suppress(urllib3.exceptions.HTTPError):  # It has not begun to listen.
            return urllib3.request("GET", f"{url}/-/ready", retries=False, timeout=PATIENCE_S).status == 200
        return False

    def ask(path: str, **fields: str) -> Any:
        answer = urllib3.request("GET", f"{url}/api/v1/{path}", fields=fields, timeout=PATIENCE_S)
        said = json.loads(answer.data)
        assert said["status"] == "success", (fields, said)
        return said["data"]

    def found(expr: str) -> list[Any]:
        return list(ask("query", query=expr)["result"])

    def filled(panel: dict[str, Any]) -> bool:
        return sum(len(found(expr)) for expr in queries(panel)) > 0

    with ExitStack() as stack:
        running = start_server(tmp_path / "state")
        stack.callback(running.stop)
        client = VerifyClient(running.server)
        started = client.start(NUMBER)
        with pytest.raises(VerifyProblem):
            client.start(NUMBER)
        client.check(id=started["id"], code=VerifyInbox(client).code(NUMBER))
        config = configured(tmp_path, running.server.url.removeprefix("http://"), running.server.api_key)
        promtool("check", "config", config)
        words = [f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data", "--log.level=error"]
        process = subprocess.Popen([PROMETHEUS, *words, f"--web.listen-address={url.removeprefix('http://')}"])
        stack.callback(process.wait)
        stack.callback(process.terminate)
        until(ready, "Prometheus to be ready")
        until(lambda: len(found("up == 1")) == 2, "both jobs to be scraped")
        assert [each["value"][1] for each in found('max(verify_checks_total{outcome="approved"})')] == ["1"]
        until(lambda: {panel["title"] for panel in PANELS if filled(panel)} >= BUSY, "the panels to show it")
        until(lambda: judged(ask("rules")["groups"]) == {"ok"}, "every rule to be judged")
        until(lambda: judged(ask("rules")["groups"], "verify-roles", "state") == {"inactive"}, "no role to be missed")
