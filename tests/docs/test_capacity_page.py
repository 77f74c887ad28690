"""docs/capacity.md: what it says that so many starts need follows from the costs that stand on it."""

from pathlib import Path

from benchmarks.capacity import Costs, needs, slots, walls

PAGE = (Path(__file__).parents[2] / "docs/capacity.md").read_text("utf-8")


def test_the_page_holds_what_the_model_makes_of_its_costs() -> None:
    """Each table of the model stands there line by line, and so do the costs as the command prints them."""
    costs = Costs.read(PAGE)
    for table in (costs.table(), needs(costs), walls(costs), slots()):
        rows = table.markdown().split("\n\n", 2)[2].rstrip()
        assert rows in PAGE, f"{table.title}: python -m benchmarks.capacity prints\n{rows}"


def test_more_primaries_carry_more_until_the_busiest_partition_is_full() -> None:
    """By hand: 1,000 µs a start over 32 partitions of which one takes 100 of them; each core is used to 60 per cent."""
    costs = Costs(**dict.fromkeys(Costs.__dataclass_fields__, 1.0) | {"cluster_start": 999.0, "busiest": 100.0})
    rates = dict(
        zip(needs(costs).columns, next(row for row in needs(costs).rows if "many" in str(row[0])), strict=True)
    )
    # At 1,000: 900 x 11/32 + 100 = 409 µs, so three are enough. At 10,000 the one partition alone would be full.
    assert (rates["1,000 starts/s"], rates["10,000 starts/s"]) == ("3", "none is enough")
    assert ("the busiest partition, many countries", "6,000") in walls(costs).rows
