"""A provider's bad hour in short: real HTTP, two dispatchers, an even load, and one provider that does badly."""

from pathlib import Path

import pytest

from benchmarks.delivery import PER_SECOND, Mode, bad_hour, short_code
from benchmarks.load import percentile
from benchmarks.rooms import beside

pytestmark = pytest.mark.slow

# Two seconds are promised, on a machine that does little else.
WITHIN_S = 4.0
REASONS: dict[Mode, str] = {
    "errs": "HTTP 503",
    "hangs": "no answer within 1 second",
    "is slow": "no answer within 1 second",
    "loses": "no receipt within 1 second",
}


def test_every_code_arrives_while_a_provider_does_badly(tmp_path: Path) -> None:
    """It errs, hangs, is slow, and takes messages and loses them: every code arrives, nearly as soon as where both do
    well, and every timeline says why its message went on."""
    well, *badly = bad_hour(tmp_path, 20, 3, ("well", *REASONS))
    assert (len(well.took), well.reasons) == (well.messages, {})
    for phase, reason in zip(badly, REASONS.values(), strict=True):
        assert len(phase.took) == phase.messages == 60, phase
        assert percentile(phase.took, 0.99) < percentile(well.took, 0.99) + WITHIN_S, phase
        assert (set(phase.reasons), phase.unexplained) == ({reason}, 0), phase


@pytest.mark.parametrize("mode", ["hangs", "errs"])
def test_a_dead_providers_queue_costs_the_others_nothing(tmp_path: Path, mode: Mode) -> None:
    """Beside 3,000 messages for a provider that hangs or errs at once, another's arrive as soon as they do alone."""
    found = beside(tmp_path, 3_000, mode, 3)
    assert len(found.phase.took) == found.phase.messages == 60
    assert percentile(found.phase.took, 0.5) < percentile(found.alone.took, 0.5) * 3 + 0.5
    assert (found.phase.reasons, found.phase.unexplained) == ({}, 0)


def test_a_short_code_that_gets_twice_its_rate(tmp_path: Path) -> None:
    """Its carrier never sees more than its rate in any second, but for what a busy machine bunches up on its way there;
    what is too much goes by the next way, all arrives."""
    phase, busiest, by_short = short_code(tmp_path, 2 * PER_SECOND, 4)
    assert len(phase.took) == phase.messages == 8 * PER_SECOND
    assert busiest <= 1.05 * PER_SECOND
    assert by_short + phase.reasons.total() == phase.messages
    assert phase.reasons.keys() <= {"short has no room for 1 s"}
    assert phase.unexplained == 0
