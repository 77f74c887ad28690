"""What a person may ask for: their consent over HTTP, an export of what is held of them, and its erasure."""

import base64
import json
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bench import Bench, ManualClock, a_start, make_bench, wrong
from tests.support.commands import run
from tests.support.contract import Contract, LocalClient, a_number, contract
from tests.support.live import everything, patient, until
from tests.support.vendor import Vendor, vendor_at_work
from verify_service.consents import Ledger
from verify_service.data_subjects import DataSubjects
from verify_service.duration import rfc3339
from verify_service.embedded import EmbeddedValkey
from verify_service.errors import RateLimited
from verify_service.model import Actor
from verify_service.store import Store

pytestmark = pytest.mark.slow

TO, OTHER = "+14155550191", "+14155550192"


def people(bench: Bench) -> DataSubjects:
    return DataSubjects(bench.store, bench.tagger, bench.clock)


def ledger(bench: Bench) -> Ledger:
    return Ledger(bench.store, bench.tagger, bench.clock)


def a_past(bench: Bench, tenant: str = "default", to: str = TO) -> list[str]:
    """An approved verification, a pending one, a refusal and a consent; the ids of the verifications."""
    first = bench.service.start(tenant, a_start(to), f"start-{to[1:]}").id
    bench.service.check(tenant, first, wrong(bench.code(first)))
    bench.service.check(tenant, first, bench.code(first), idempotency_key=f"check-{to[1:]}")
    second = bench.service.start(tenant, a_start(to, "pay")).id
    with pytest.raises(RateLimited):
        bench.service.start(tenant, a_start(to, "pay"))
    ledger(bench).record(tenant, to, "in", "web-form", Actor("api:crm"), "agreed to codes")
    return [first, second]


def test_a_consent_is_recorded_shown_and_in_force(store: Store) -> None:
    """PUT adds an entry with the caller's source and note; GET shows it; `out` refuses starts until `in`."""
    client, to = LocalClient(store, ManualClock()), a_number()
    path = f"/consents/{to}"
    _, _, unknown = client.request("GET", path)
    assert unknown == {"to": to, "state": "unknown", "source": None, "at": None, "trail": []}
    first = {"at": "2027-01-15T08:00:00.000Z", "state": "out", "source": "api"}
    recorded = {"to": to, "state": "out", "source": "api", "at": first["at"]}
    assert client.request("PUT", path, {"state": "out"})[2] == recorded
    assert client.request("GET", path)[2] == recorded | {"trail": [first]}
    assert client.refused("POST", "/start", {"to": to})["type"] == "/problems/opted-out"
    second = {"at": first["at"], "state": "in", "source": "web-form", "note": "asked for it again"}
    client.request("PUT", path, {"state": "in", "source": "web-form", "note": "asked for it again"})
    _, _, shown = client.request("GET", path.replace("+", "%2B"))
    assert (shown["state"], shown["source"], shown["trail"]) == ("in", "web-form", [first, second])
    assert client.start(to)["status"] == "pending"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "state"),
        ({"state": "maybe"}, "state"),
        ({"state": "out", "source": "Web Form"}, "source"),
        ({"state": "out", "source": None}, "source"),
        ({"state": "in", "source": "sms"}, "source"),
        ({"state": "in", "source": "rcs"}, "source"),
        ({"state": "in", "source": "whatsapp"}, "source"),
        ({"state": "out", "source": "carrier"}, "source"),
        ({"state": "out", "note": ""}, "note"),
        ({"state": "out", "note": "two\nlines"}, "note"),
        ({"state": "out", "at": 1}, "at"),
    ],
)
def test_a_record_that_does_not_fit_is_refused(store: Store, body: dict[str, Any], field: str) -> None:
    """400 naming the field, and nothing is recorded."""
    client, to = LocalClient(store, ManualClock()), a_number()
    problem = client.refused("PUT", f"/consents/{to}", body)
    assert (problem["status"], problem["errors"][0]["field"]) == (400, field)
    assert client.request("GET", f"/consents/{to}")[2]["state"] == "unknown"


@pytest.mark.parametrize("number", ["x", "+1415555", "+14155550123456789", "0", "+19995550123"])
def test_a_consent_is_of_a_number(store: Store, number: str) -> None:
    """422 naming the path's `number`, on every method."""
    client = LocalClient(store, ManualClock())
    for method, body in (("GET", None), ("PUT", {"state": "out"}), ("DELETE", None)):
        problem = client.refused(method, f"/consents/{number}", body)
        assert (problem["status"], problem["errors"][0]["field"]) == (422, "number")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Vendor]:
    """Where the default tenant is told of cancellations."""
    with vendor_at_work() as made:
        yield made


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, endpoint: Vendor) -> Iterator[Contract]:
    """A service with a sender that phones answer to; each test has a number of its own."""
    file = (
        '[senders.short]\ntype = "short-code"\naddress = "43721"\n'
        '[[routes]]\nvia = [{ provider = "fake-a", sender = "short" }]\n'
        f'[tenants.default.webhook]\nurl = "{endpoint.url}"\nsecret = "env:HOOK"\nevents = ["canceled"]\n'
    )
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    with contract(tmp_path_factory.mktemp("person"), file, {"HOOK": secret}) as found:
        yield found


def test_a_tenants_consents_are_its_own(live: Contract) -> None:
    """What one tenant records, neither binds another nor is shown to it; what may be read takes a `read` key."""
    to = a_number()
    live.acme.request("PUT", f"/consents/{to}", {"state": "out"})
    assert live.acme.refused("POST", "/start", {"to": to})["type"] == "/problems/opted-out"
    assert live.default.request("GET", f"/consents/{to}")[2]["state"] == "unknown"
    assert live.reader.request("GET", f"/consents/{to}")[2]["state"] == "out"
    assert live.default.start(to)["status"] == "pending"
    assert live.default.request("DELETE", f"/consents/{to}")[0] == 204
    assert live.reader.request("GET", f"/consents/{to}")[2]["source"] == "api"


def test_a_key_that_may_not_read_learns_no_trail_by_writing(live: Contract) -> None:
    """A `verify` key is answered what it recorded, in these four members, and nothing of what was said before."""
    to = a_number()
    live.acme.request("POST", "/fake/inbound", {"from": to, "to": "43721", "body": "STOP"})
    live.acme.request("PUT", f"/consents/{to}", {"state": "out", "source": "crm", "note": "a secret of the case"})
    problem = live.acme.refused("GET", f"/consents/{to}")
    assert problem["type"] == "/problems/forbidden"
    status, _, answer = live.acme.request("PUT", f"/consents/{to}", {"state": "out"})
    assert (status, answer) == (200, {"to": to, "state": "out", "source": "api", "at": answer["at"]})
    trail = live.reader.request("GET", f"/consents/{to}")[2]["trail"]
    assert [entry["source"] for entry in trail] == ["sms", "crm", "api"]


def test_an_export_has_all_that_is_held_and_nothing_of_others(bench: Bench) -> None:
    """Consent with its trail, verifications with timelines, decisions, events; of this person and this tenant only."""
    ids = a_past(bench)
    a_past(bench, "other")
    a_past(bench, to=OTHER)
    found = people(bench).export("default", TO)
    assert json.loads(json.dumps(found)) == found
    assert found["pseudonym"] == bench.tagger.number(TO)
    assert (found["tenant"], found["consent"]["to"], found["consent"]["state"]) == ("default", TO, "in")
    assert [entry["note"] for entry in found["consent"]["trail"]] == ["agreed to codes"]
    assert sorted(each["id"] for each in found["verifications"]) == sorted(ids)
    approved = next(each for each in found["verifications"] if each["id"] == ids[0])
    assert (approved["status"], approved["created_at"]) == ("approved", rfc3339(bench.clock.ms))
    assert [line["event"] for line in approved["timeline"]] == ["started", "queued", "wrong", "failed", "approved"]
    # Beside what an observed rule would have refused: other tests' numbers count for the same charts.
    assert [decision["by"] for decision in found["decisions"] if decision["by"]] == ["cooldown"]
    events = [event["event"] for event in found["events"]]
    assert events == ["start", "wrong", "approved", "start", "start", "consent"]


def test_an_erasure_leaves_nothing_but_counts_and_pseudonymous_events(tmp_path: Path) -> None:
    """Verifications, timelines, pointers, decisions, idempotent answers, unsent messages and the trail are gone; who
    erased and why is an event; another tenant's and another person's are as they were."""
    with EmbeddedValkey(tmp_path / "valkey", append_fsync="no") as server:
        store = Store(patient(server.url))
        store.prepare()
        bench = make_bench(store)
        ids = a_past(bench)
        theirs = a_past(bench, "other")
        others = a_past(bench, to=OTHER)
        assert people(bench).erase("default", TO, Actor("dpo"), "asked by letter") == 2
        client: Any = store.link.client()
        keys = {key.decode() for key in client.scan_iter(count=1000)}
        left = {key.split(":")[2] for key in keys if bench.tagger.number(TO) in key}
        assert left == {"limit", "consent", "known", "live"}
        assert not any(f":{bench.tagger.number(TO)}:default" in key for key in keys)
        for each in ids:
            assert not any(each in key for key in keys)
        stay = b"".join(client.dump(key) for key in keys if not key.endswith((":events", ":outbox")))
        for each in ids:
            assert each.encode() not in stay
        assert {fields[b"id"].decode() for _, fields in client.xrange("vs:{0}:outbox")} == {theirs[1], others[1]}
        for tenant, to, kept in (("other", TO, theirs), ("default", OTHER, others)):
            found = people(bench).export(tenant, to)
            assert sorted(each["id"] for each in found["verifications"]) == sorted(kept)
            assert (found["consent"]["state"], len(found["decisions"])) == ("in", 1)
        gone = people(bench).export("default", TO)
        assert (gone["consent"]["state"], gone["verifications"], gone["decisions"]) == ("unknown", [], [])
        erased = [event for event in store.events.read(0) if event["event"] == "erased"]
        assert [(e["tenant"], e["by"], e["reason"]) for e in erased] == [("default", "dpo", "asked by letter")]
        assert TO[1:].encode() not in everything(store)


def test_an_erasure_is_no_way_around_stop_or_a_limit(bench: Bench) -> None:
    """An opt-out stays in force without its trail, and counts of limits stay until they end."""
    for purpose in ("a", "b", "c", "d", "e"):
        bench.service.start("default", a_start(TO, purpose))
    ledger(bench).record("other", TO, "out", "api", Actor("api:crm"), "called us")
    for tenant in ("default", "other"):
        people(bench).erase(tenant, TO, Actor("dpo"), "asked")
    assert ledger(bench).look("other", TO) == ("out", ())
    with pytest.raises(RateLimited):
        bench.service.start("default", a_start(TO))


def test_on_a_cluster_a_person_is_found_and_erased(spread: Store) -> None:
    """All that hangs on a number lies in its partition."""
    bench = make_bench(spread)
    ids = a_past(bench)
    assert sorted(each["id"] for each in people(bench).export("default", TO)["verifications"]) == sorted(ids)
    assert people(bench).erase("default", TO, Actor("dpo"), "asked") == 2
    assert people(bench).export("default", TO)["verifications"] == []


def test_the_commands_show_erase_list_and_replay(live: Contract, endpoint: Vendor) -> None:
    """`person export` and `erase`, `webhooks dead` and `replay` on a service that runs; a tenant's figures in
    /metrics; 2 and one line for what cannot be used."""
    endpoint.answer = lambda: (410, {}, b"")
    to = a_number()
    store = Store((live.running.server.state_dir / "store-url").read_text())
    until(lambda: store.link.command(0, ["EXISTS", "vs:{0}:hooks"]))  # The events that are told of begin here.
    started = live.default.start(to)["id"]
    live.default.cancel(started)
    until(lambda: "verify_webhooks_dead 1.0" in live.default.request("GET", "/metrics")[2])
    [letter] = json.loads(command(live, "webhooks", "dead", "--json").stdout)
    assert (letter["id"], letter["event"], letter["reason"]) == (started, "canceled", "HTTP 410")
    assert f"{started}  canceled of " in command(live, "webhooks", "dead").stdout
    endpoint.answer = lambda: (200, {}, b"")
    assert command(live, "webhooks", "replay").stdout == "1 events are tried again\n"
    assert command(live, "webhooks", "dead").stdout == "no dead letter\n"
    held = json.loads(command(live, "person", "export", "--to", to).stdout)
    assert [each["id"] for each in held["verifications"]] == [started]
    done = command(live, "person", "erase", "--to", to, "--reason", "asked by letter", "--by", "dpo")
    assert done.stdout == f"{to}: erased for default, 1 verifications among it\n"
    assert json.loads(command(live, "person", "export", "--to", to).stdout)["verifications"] == []
    for words in (("erase", "--to", to, "--reason", " "), ("erase", "--to", to), ("export", "--to", "x")):
        failed = command(live, "person", *words)
        assert (failed.returncode, failed.stdout) == (2, "")


def test_a_tenant_that_there_is_not_is_refused(tmp_path: Path) -> None:
    """Exit status 2 and the tenants that there are, before anything is looked for: nothing is erased or replayed."""
    file = tmp_path / "verify.toml"
    file.write_text('[providers.fake-a]\nkind = "fake"\n[tenants.acme]\n')
    about = ("--to", TO)
    for words in (
        ("person", "export", *about),
        ("person", "erase", *about, "--reason", "a letter"),
        ("webhooks", "dead"),
        ("webhooks", "replay"),
    ):
        env = {"VERIFY_STATE_DIR": str(tmp_path), "VERIFY_CONFIG": str(file)}
        done = run(*words, "--tenant", "nope", env=env)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"there is no tenant 'nope'; it is one of acme, default (by {file})" in done.stderr


def command(live: Contract, *words: str) -> "subprocess.CompletedProcess[str]":
    return run(*words, env={"VERIFY_STATE_DIR": str(live.running.server.state_dir), "VERIFY_CLOCK": "virtual"})


def test_a_phones_keyword_is_answered_in_the_fake_inbox(live: Contract) -> None:
    """Where the sender is configured, the answer to HELP arrives once, from it, without a code; STOP and START work as
    with a real provider."""
    to = a_number()
    for _ in range(2):
        live.inbox.text(to, "43721", "help")
    [answer] = live.inbox.messages(to, wait=30)
    assert (answer["from"], answer["code"], answer["verification_id"][:3]) == ("43721", "", "re_")
    live.inbox.text(to, "43721", "Stop")
    assert live.default.refused("POST", "/start", {"to": to})["type"] == "/problems/opted-out"
    live.inbox.text(to, "43721", "START")
    until(lambda: len(live.inbox.messages(to)) == 3)
    started = live.default.start(to)
    assert live.default.check(id=started["id"], code=live.inbox.code(to))["approved"]
