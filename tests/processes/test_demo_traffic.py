"""Who uses the service of the demonstration, and when."""

from verify_service.demo.traffic import Coming, Traffic

NOON = 1_790_000_000.0 // 86_400 * 86_400 + 43_200


def test_people_come_by_their_clocks_and_the_attack_when_it_is_called() -> None:
    """What happens is given out by time and once, from the beginning on; the attack's first start is at the moment that
    was asked for, its numbers are of one country, and none of its codes is entered."""
    traffic = Traffic(3, NOON, 5, 2_000)
    coming = Coming(traffic.people)
    early = list(coming.until(NOON + 7_200))
    assert [event.at for event in early] == sorted(event.at for event in early)
    assert NOON <= early[0].at < NOON + 600
    assert early[-1].at <= NOON + 7_200
    assert 60 < len([event for event in early if event.event == "start"]) < 400
    assert {event.who for event in early} == {"user"}
    attack, country = traffic.attack(NOON + 7_200)
    coming.join(attack)
    later = list(coming.until(NOON + 14_400))
    assert not {(event.at, event.id) for event in early} & {(event.at, event.id) for event in later}
    pumped = [event for event in later if event.who == "pumper"]
    assert (pumped[0].at, country) == (NOON + 7_200, "TJ")
    assert {event.event for event in pumped} == {"start"}
    assert {(event.to or "")[:4] for event in pumped} == {"+992"}
    assert len({event.ip for event in pumped}) > 0.95 * len(pumped)
