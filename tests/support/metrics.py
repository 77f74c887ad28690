"""The metrics of the service, as its code declares them."""

import re
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from verify_service import telemetry

LOOKED_UP = Path(telemetry.__file__).parent / "web/native/operations.py"


def metrics() -> dict[str, tuple[str, ...]]:
    """Every metric under the names that a scrape shows, with its labels."""
    found: dict[str, tuple[str, ...]] = {}
    for metric in vars(telemetry).values():
        if isinstance(metric, MetricWrapperBase):
            for family in metric.describe():
                name = f"{family.name}_total" if family.type == "counter" else family.name
                found[name] = tuple(metric._labelnames)
    looked_up = LOOKED_UP.read_text("utf-8")
    gauges = re.findall(r'"(verify_[a-z_]+)"', looked_up)
    blocks = [f"verify_live_blocks_{name}" for name in re.findall(r'^    "([a-z_]+)": "', looked_up, re.MULTILINE)]
    return found | dict.fromkeys((*gauges, *blocks), ()) | {name: (label,) for name, label in telemetry.LABELS.items()}
