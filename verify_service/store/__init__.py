"""The store: Redis and nothing but Redis. `Store` is everything that lives there."""

from verify_service.store.alerts import AlertStore
from verify_service.store.blocks import Blocks
from verify_service.store.connection import Link
from verify_service.store.consents import ConsentStore
from verify_service.store.counts import Counts
from verify_service.store.data_subjects import DataSubjectStore
from verify_service.store.deliveries import Deliveries
from verify_service.store.entities import Entities
from verify_service.store.events import Events
from verify_service.store.health import Health
from verify_service.store.inbox import Bell, InboxStore
from verify_service.store.keeping import Keeping
from verify_service.store.notices import NoticeStore
from verify_service.store.outbox import Outbox
from verify_service.store.preparation import forgets, prepare
from verify_service.store.search import Search
from verify_service.store.senders import Senders
from verify_service.store.services import ServiceStore
from verify_service.store.sessions import Sessions
from verify_service.store.users import Users
from verify_service.store.verifications import Verifications
from verify_service.store.webhooks import WebhookStore

KEEP_EVENTS = 200_000


class Store:
    """The parts of a store behind one link."""

    def __init__(self, url: str, keep_events: int = KEEP_EVENTS) -> None:
        self.link = Link(url)
        self.verifications = Verifications(self.link, keep_events)
        self.deliveries = Deliveries(self.link, keep_events)
        self.outbox = Outbox(self.link, keep_events, self.deliveries)
        self.notices = NoticeStore(self.link, keep_events)
        self.senders = Senders(self.link)
        self.health = Health(self.link, keep_events)
        self.events = Events(self.link)
        self.search = Search(self.link)
        self.blocks = Blocks(self.link, keep_events)
        self.consents = ConsentStore(self.link, keep_events)
        self.data_subjects = DataSubjectStore(self.link, keep_events)
        self.alerts = AlertStore(self.link)
        self.webhooks = WebhookStore(self.link, keep_events)
        self.counts = Counts(self.link)
        self.services = ServiceStore(self.link)
        self.entities = Entities(self.link)
        self.users = Users(self.link, keep_events)
        self.keeping = Keeping(self.link, keep_events)
        self.sessions = Sessions(self.link)
        self.inbox = InboxStore(self.link)
        self.bell = Bell(self.link)

    @property
    def forgets(self) -> bool:
        """Whether a restart may take back what was answered: as `preparation.forgets`."""
        return forgets(self.link)

    def prepare(self) -> None:
        """Checks and readies the server; every role calls it once at its start.

        Raises ConfigError for a store that may not be used, StoreUnavailable for one that does not answer.
        """
        prepare(self.link)
        self.outbox.prepare()
