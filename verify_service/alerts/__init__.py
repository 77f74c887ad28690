"""Alerts to the team: one dispatcher at a time looks by the rules, and tells of each incident once.

What has happened to an incident is decided in the store, whoever looks. A message that does not reach its target is
tried again for a day, with growing pauses, and then it is remembered that it was given up.
"""

import random
import threading

from verify_service.alerting import RULES as NAMES
from verify_service.alerts.chain import Chain
from verify_service.alerts.rules import RULES, Look
from verify_service.alerts.team import Team
from verify_service.alerts.trends import Trends
from verify_service.codes import Tagger
from verify_service.config import Config
from verify_service.dispatch.job import site
from verify_service.errors import DeliveryError, StoreUnavailable
from verify_service.model import Clock
from verify_service.policy.live import LivePolicy
from verify_service.store import Store
from verify_service.store.alert_layouts import AlertTerms, Finding
from verify_service.store.alerts import Due
from verify_service.store.policies import Policies
from verify_service.telemetry import ALERT_MESSAGES, log

EVERY_S = 15.0
MOST_OPEN = 20
"""Incidents of one rule that are open at once: an attack on all countries is no storm of messages."""
MOST_WAITING = 500
BACKOFF_S = (15, 30, 60, 300, 900, 1_800, 3_600, 7_200, 14_400, 28_800)
"""After each failure: sixteen hours in all, within which each target has heard of each incident or never will."""
JITTER = 0.2

_dice = random.SystemRandom()
_log = log("alerts")


class Alarms:
    """The rules of one dispatcher, and the team. `run` works until its event is set."""

    def __init__(self, store: Store, config: Config, tagger: Tagger, team: Team, clock: Clock, name: str) -> None:
        """`name` is the dispatcher's."""
        self._store = store
        self._config = config
        self._policies = Policies(store.link, tagger)
        self._trends = Trends(store)
        self._chain = Chain(self._policies.audit)
        self._live = LivePolicy(self._policies, tagger)
        self._team = team
        self._clock = clock
        self._name = name
        self._blind: frozenset[str] = frozenset()

    def run(self, stop: threading.Event) -> None:
        """Looks every fifteen seconds until `stop` is set."""
        silent = False
        while not stop.wait(EVERY_S):
            try:
                self.round(stop)
                silent = False
            except StoreUnavailable as error:
                if not silent:
                    _log.warning("store does not answer", reason=error.reason)
                silent = True
            except Exception as error:
                # A thread that dies in silence would be the one that nobody is told of.
                _log.error("unexpected error", error=site(error))

    def round(self, stop: threading.Event | None = None) -> None:
        """One look, and what is to be told. Raises StoreUnavailable."""
        now = self._clock.now()
        if not self._store.alerts.is_turn(now, self._name):
            return
        findings, judged = self._look(now)
        alerts = self._config.alerts
        resolve_ms, remind_ms = alerts.resolve_after.ms, alerts.remind_after.ms
        terms = AlertTerms(judged, self._team.targets, resolve_ms, remind_ms, MOST_OPEN, MOST_WAITING)
        changes, lost = self._store.alerts.judge(now, findings, terms)
        for change in changes:
            (_log.info if change.says == "resolved" else _log.warning)(
                f"alert {change.says}", rule=change.rule, object=change.object, sentence=change.sentence
            )
        if lost:
            ALERT_MESSAGES.labels("", "lost").inc(lost)
            _log.error("too many messages wait, so these are not sent", messages=lost)
        while due := self._store.alerts.due(self._clock.now()):
            for each in due:
                if stop is not None and stop.is_set():
                    return  # Another dispatcher has it after its lease.
                self._tell(each)

    def _look(self, now: int) -> tuple[list[Finding], list[str]]:
        """What the rules find, and which of them could look: one that could not ends no incident."""
        self._live.refresh()
        look = Look(self._store, self._config, self._live, self._policies, self._trends, self._chain, now)
        findings: list[Finding] = []
        judged: list[str] = []
        why: dict[str, str] = {}
        for name in NAMES:
            try:
                found = () if name in self._config.alerts.off else RULES[name](look)
                findings += list(found)
                judged.append(name)
            except StoreUnavailable as error:
                why[name] = error.reason
            except Exception as error:
                why[name] = site(error)
        for blind in why.keys() - self._blind:
            _log.warning("cannot look", rule=blind, reason=why[blind])
        self._blind = frozenset(why)
        return findings, judged

    def _tell(self, due: Due) -> None:
        channel = due.telling.target.partition("-")[0]
        try:
            self._team.tell(due.telling)
        except DeliveryError as error:
            told, tries = {"target": due.telling.target, "reason": error.reason}, due.telling.tries
            now = self._clock.now()
            if tries < len(BACKOFF_S):
                ALERT_MESSAGES.labels(channel, "failed").inc()
                _log.warning("not told, so it is tried again", tries=tries + 1, **told)
                pause = round(1000 * BACKOFF_S[tries] * _dice.uniform(1 - JITTER, 1 + JITTER))
                self._store.alerts.again(now, due, error.reason, pause)
            else:
                ALERT_MESSAGES.labels(channel, "given-up").inc()
                _log.error("given up", incident=due.telling.incident.id, **told)
                self._store.alerts.give_up(now, due, error.reason)
        else:
            ALERT_MESSAGES.labels(channel, "sent").inc()
            self._store.alerts.done(self._clock.now(), due)
