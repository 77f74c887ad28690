"""What tests of budgets share."""

from tests.support.bench import Bench
from verify_service import phone
from verify_service.policy.verdicts import Verdict

PRICES = "[prices]\nUS = 0.25\nGB = 0.5\n"


def shown(bench: Bench, to: str, tenant: str = "default") -> Verdict:
    """The budget as `explain` shows it."""
    found = bench.explain.explain(tenant, phone.parse(to, None))
    (verdict,) = (each for each in found.judged if each.kind == "budget")
    return verdict
