"""Labelled synthetic traffic: a service in normal use, and what may happen to it."""

from verify_service.simulate.recording import Event
from verify_service.simulate.scenarios import SCENARIOS, Scenario, scenario

__all__ = ["SCENARIOS", "Event", "Scenario", "scenario"]
