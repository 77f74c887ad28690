"""Whether a notice may go out: nobody asked for it, so it is judged when it is sent, by what holds then."""

from verify_service import recipient
from verify_service.codes import Tagger
from verify_service.config import Config
from verify_service.model import Clock, StartOptions
from verify_service.policy.limits import facts_of
from verify_service.policy.rulebook import Rules
from verify_service.store.entries import Entry
from verify_service.store.notices import NoticeStore


class NoticeGate:
    """The policy's and the person's word on notices."""

    def __init__(self, store: NoticeStore, config: Config, tagger: Tagger, clock: Clock, rules: Rules) -> None:
        self._store = store
        self._config = config
        self._tagger = tagger
        self._clock = clock
        self._rules = rules

    def refusal(self, entry: Entry, to: str) -> str:
        """Why a notice is not sent now, '' where it is; then it has been counted, once however often this is asked.
        Raises StoreUnavailable, also while no policy could be read."""
        now = self._clock.now()
        number = recipient.parse(to, None, drama=True)
        if self._config.test_number(number.e164, now):
            return "a test number, which nothing is sent to"
        tag = entry.content.number
        book = self._rules()
        judgment, hits = book.judge_notice(number, tag, facts_of(entry.tenant, StartOptions(), number))
        if judgment.refused:
            return f"refused by `{judgment.refused.name}`"
        former = self._tagger.former(number.e164)
        refused = self._store.admit(now, entry.id, entry.tenant, tag, entry.channel, former, hits)
        if refused is None:
            return ""
        return "opted out" if refused.kind == "opted-out" else f"refused by `{refused.limit}`"
