"""Blocks that an operator lifts: what is forgotten with them, and what is said of it."""

from tests.support.detector import Field, field, numbers
from verify_service.store import Store
from verify_service.store.blocks import Block


def blocks_of(place: Field) -> list[Block]:
    return [block for block in place.bench.store.blocks.list(place.bench.clock.now()) if block.rule == place.rule]


def lift(place: Field, block: Block, mode: str = "enforce") -> None:
    lifted = place.bench.store.blocks.lift(place.bench.clock.now(), block.id, "ann", "ours", {place.rule: mode})
    assert lifted is not None
    assert (lifted.place, lifted.mode) == (block.place, mode)


def test_a_lifted_block_lets_starts_pass_at_once_and_is_remembered(store: Store) -> None:
    """Who lifted it and why stands in the events; the place needs more evidence afterwards."""
    place = field(store)
    answers = place.refused(numbers(40, step=137), every=30)
    now, modes = place.bench.clock.now(), {place.rule: "enforce"}
    blocks = [block for block in store.blocks.list(now) if block.rule == place.rule]
    assert {block.place for block in blocks} == {"+216201"}
    assert max(block.refused for block in blocks) == answers.count(True)
    for block in blocks:
        lifted = store.blocks.lift(now, block.id, "ann", "a campaign of ours", modes)
        assert lifted is not None
        assert lifted.place == block.place
        assert store.blocks.lift(now, block.id, "ann", "again", modes) is None
    assert not [block for block in store.blocks.list(now) if block.rule == place.rule]
    again = place.refused(numbers(40, first=20_100_050, step=137), every=30)
    assert again.index(True) > answers.index(True)
    said = [event for event in place.bench.store.events.read(now) if event["id"] == blocks[0].id]
    assert [(event["event"], event["by"], event["reason"]) for event in said] == [
        ("lifted", "ann", "a campaign of ours")
    ]


def test_what_is_no_id_of_a_block_lifts_nothing(store: Store) -> None:
    """Any text may come in; it is looked at before it names a key."""
    for text in ("", "bl_", "bl_" + "0" * 32, "ve_" + "0" * 32, "bl_zz" + "0" * 30, "bl_\u0661" + "0" * 31):
        assert store.blocks.lift(1, text, "ann", "why", {}) is None


def test_what_a_lifted_block_showed_counts_no_longer_for_the_prefix_around_it(store: Store) -> None:
    """The campaign goes on where it was blocked: only what comes after the lift counts, and half as much again is
    needed, of the carrier prefix as well."""
    place = field(store)
    row = numbers(100, step=7)
    first = place.refused(row[:30], every=9).index(True)
    (block,) = blocks_of(place)
    assert block.place == "+2162010"
    lift(place, block)
    answers = place.refused(row[30:], every=9)
    assert not any(answers[: first + 1])
    assert True in answers


def test_a_lift_leaves_an_attack_on_other_prefixes_under_suspicion(store: Store) -> None:
    """What one prefix was wrongly suspected of says nothing of the others that were blocked with it."""
    place = field(store)
    homes = (20_100_000, 21_200_000, 50_300_000)
    attack = zip(*(numbers(30, home, 137) for home in homes), strict=True)
    place.refused([number for turn in attack for number in turn], every=20)
    blocks = blocks_of(place)
    assert {block.place for block in blocks} == {"+216201", "+216212", "+216503"}
    lift(place, next(block for block in blocks if block.place == "+216201"))
    assert place.refused(numbers(12, 90_500_000, 137), every=20).index(True) < 8


def test_a_lift_names_the_mode_of_the_rule_in_force(store: Store) -> None:
    """A block that was made while its rule enforced, and is lifted while it observes, refused nobody any more."""
    place = field(store)
    place.refused(numbers(40, step=137), every=30)
    (block,) = blocks_of(place)
    assert block.mode == "enforce"
    lift(place, block, "observe")
    said = [event for event in store.events.read(place.bench.clock.now()) if event["id"] == block.id]
    assert [(event["event"], event["mode"]) for event in said] == [("lifted", "observe")]


def test_a_block_of_a_rule_that_is_gone_is_lifted_as_off(store: Store) -> None:
    """It refuses nobody, and can be lifted all the same."""
    place = field(store)
    place.refused(numbers(40, step=137), every=30)
    lifted = store.blocks.lift(place.bench.clock.now(), blocks_of(place)[0].id, "ann", "ours", {})
    assert lifted is not None
    assert lifted.mode == "off"
