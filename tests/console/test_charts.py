"""The charts of the console: exact geometry, whole at every edge, and the same told in words."""

import re
from html.parser import HTMLParser

import pytest

from verify_service.web.console import charts
from verify_service.web.console.charts import Bar, Series, Stage

HOUR = 3_600_000
NOON = 1_800_014_400_000  # 2027-01-15T12:00Z
EVIL = "\"><script>alert(1)</script><b style='x'>"


def drawn(html: str) -> list[str]:
    """The path of each line of a chart, without those of its legend."""
    return re.findall(r'<path class="line s\d" d="([^"]*)"', html.partition('<div class="plot">')[2] or html)


def text(html: str) -> str:
    return re.sub(r"<[^>]*>", "|", html)


class Whole(HTMLParser):
    """Fails where an element is not closed, or brings style or script along."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in {"script", "style"}
        assert not [name for name, _ in attrs if name == "style" or name.startswith("on")]
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in {"path", "rect"}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def hours(*values: float | None, name: str = "starts") -> str:
    moments = [NOON + place * HOUR for place in range(len(values))]
    return str(charts.lines("Starts", moments, [Series(name, values)], "hour"))


def test_lines_are_drawn_to_scale() -> None:
    """The axis ends with the next round figure, the line goes from edge to edge, and words say the same."""
    html = hours(0, 10, 18, None, 5)
    Whole(html)
    assert drawn(html) == ["M0 200L250 100L500 20M1000 150h0"]
    assert '<div class="y" aria-hidden="true"><span>20</span><span>10</span><span>0</span></div>' in html
    assert "<desc>starts: 33 in all, at most 18 at 15 Jan 14:00.</desc>" in html
    assert re.findall(r"<span>(\d\d \w+ \d\d:\d\d)</span>", html) == [
        *("15 Jan 12:00", "15 Jan 13:00", "15 Jan 14:00", "15 Jan 15:00", "15 Jan 16:00")
    ]
    rows = re.findall(r'<th scope="row">([^<]+)</th><td>([^<]+)</td>', html)
    assert [figure for _, figure in rows] == ["0", "10", "18", "–", "5"]
    assert rows[0][0] == "15 Jan 12:00"


def test_labels_stand_where_their_moments_are() -> None:
    """As many as divide the time evenly: a day by hours has its quarters."""
    html = hours(*range(25))
    assert re.findall(r"<span>\d\d \w+ (\d\d:\d\d)</span>", html) == ["12:00", "18:00", "00:00", "06:00", "12:00"]
    assert re.findall(r"<span>\d\d \w+ (\d\d:\d\d)</span>", hours(*range(24))) == ["12:00", "11:00"]


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ([7.0], "M500 60h0"),
        ([None, 4, None], "M500 40h0"),
        ([1e18, 0], "M0 0L1000 200"),
        ([0, 1e-5], "M0 200L1000 0"),
        ([float("nan"), 1.0, float("inf"), 1.0], "M333.3 0h0M1000 0h0"),
        ([-5, 5], "M0 200L1000 0"),
    ],
)
def test_lines_stand_at_every_edge(values: list[float | None], path: str) -> None:
    """One point is a dot, gaps stay gaps, and nothing leaves the plot, however large, small or wrong."""
    html = hours(*values)
    Whole(html)
    assert drawn(html) == [path]


def test_a_chart_of_nothing_says_so() -> None:
    for values in ([0, 0], [None, None], [0.0]):
        html = hours(*values)
        Whole(html)
        assert text(html) == "||Starts||Nothing happened in this time.||"
    assert text(hours()) == "||Starts||Nothing is kept of this time.||"
    assert text(charts.bars("Budgets", [], "No budget.")) == "||Budgets||No budget.||"
    assert "nothing is known" in charts.spark("Place", [])
    Whole(charts.funnel("Funnel", [], "yesterday"))


def test_series_differ_by_more_than_their_colours() -> None:
    """Each has a class of its own, which dashes and colours hang on, in the plot and in the legend alike."""
    moments = [NOON, NOON + HOUR]
    html = charts.lines("All", moments, [Series(str(place), [place, 1]) for place in range(5)], "hour")
    classes = re.findall(r'class="line (s\d)"', html)
    assert classes == ["s1", "s2", "s3", "s4", "s5"] * 2


def test_bars_are_shares() -> None:
    """Of what they are of, never more than all of it; what is there at all can be seen."""
    rows = [Bar("a", 1, 4, "a quarter"), Bar("b", 9, 4, "more"), Bar("c", 1e-9, 4, "a bit"), Bar("d", 0, 0, "nothing")]
    html = charts.bars("Budgets", rows, "")
    Whole(html)
    assert re.findall(r'<rect class="part" width="([^"]+)"', html) == ["250", "1000", "4", "0"]
    assert 'class="bar full"' in charts.bars("Budgets", [Bar("a", 1, 1, "all", state="full")], "")


def test_a_funnel_says_how_many_come_on() -> None:
    """Each stage by the one above it, and by what it was."""
    html = charts.funnel("Now", [Stage("starts", 200, 180), Stage("sent", 50), Stage("approved", 0, 0)], "yesterday")
    Whole(html)
    assert re.findall(r'<rect class="part" width="([^"]+)"', html) == ["1000", "250", "0"]
    assert re.findall(r"<b>(.*?)</td>", html) == [
        "200</b> 180 yesterday",
        "50</b> 25% of those above",
        "0</b> 0% of those above; 0 yesterday",
    ]


def test_a_spark_is_told_by_its_title() -> None:
    html = charts.spark("Approved of +4479", [1, None, 2, 1])
    assert drawn(html) == ["M0 100h0M666.7 0L1000 100"]
    assert "<title>Approved of +4479: at most 2, at last 1</title>" in html


def test_a_text_of_an_attacker_stays_a_text() -> None:
    """In every place where a chart has one."""
    for html in (
        hours(1, 2, name=EVIL),
        charts.lines(EVIL, [NOON], [Series("a", [1])], "day"),
        charts.lines(EVIL, [], [], "day"),
        charts.bars(EVIL, [Bar(EVIL, 1, 1, EVIL, href=f"/x?{EVIL}", state=EVIL)], ""),
        charts.bars(EVIL, [], EVIL),
        charts.funnel(EVIL, [Stage(EVIL, 1, 1)], EVIL),
        charts.spark(EVIL, [1]),
    ):
        Whole(html)
        assert "<b style" not in html
        assert "&lt;script&gt;" in html


def test_figures_read_as_people_write_them() -> None:
    assert [charts.counted(value) for value in (0, 999, 12_345, 0.5, 3_210_000, 1e18)] == [
        *("0", "999", "12,345", "0.5", "3.21M", "1.00e+18")
    ]
    assert [charts.dollars(value) for value in (0, 0.0079, 0.5, 93, 1234.5, 2_500_000)] == [
        *("$0.00", "$0.0079", "$0.50", "$93.00", "$1,234", "$2.5M")
    ]
    assert [charts.percent(*pair) for pair in ((0, 0), (1, 3), (1, 200), (0, 5), (5, 5))] == [
        *("–", "33%", "0.5%", "0%", "100%")
    ]
