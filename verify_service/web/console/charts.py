"""Charts of the console: numbers in, HTML and SVG out. Pure functions; whatever is a text is escaped.

Drawn by hand, since no kept library fits (looked at in November 2026). pygal 3.1.3 writes a `<style>` and a `<script>`
into each chart and `style=` on their parts, which our Content Security Policy forbids. leather 0.4.1 has colours, fonts
and sizes as attributes, so no dark mode and nothing for who cannot see it. drawsvg 2.4.2 and svg.py 1.10.0 write
elements, and leave scales, axes and legends to their callers: that is what is here. vega and plotly draw by script.

Only the plot is SVG, stretched to its box (`preserveAspectRatio="none"`): titles, axes, legends and figures are HTML.
They wrap, zoom and keep their size on a telephone. Colours are CSS variables by class (`s1` to `s5`), and series
differ by their dashes too. Each picture has a `<title>`, and a `<desc>` that says it in words. The same figures stand
in a table behind a `<details>`: nothing is told by colour or by shape alone (WCAG 2.2, 1.1.1 and 1.4.1).
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from math import floor, isfinite, log10
from typing import Final, NamedTuple

from markupsafe import Markup

WIDTH: Final = 1000
HEIGHT: Final = 200
_DASHES = 5
_STEPS = (1, 2, 5, 10)
_SHORT = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_FORMATS = {"minute": "%H:%M", "hour": "%d %b %H:%M", "day": "%d %b"}
_LABELS = 5
_NO_ID = re.compile(r"[^a-z0-9]+")

Value = float | None
"""A figure, or None where nothing is known: a line has a gap there."""
Wording = Callable[[float], str]


class Series(NamedTuple):
    """A line: its name and a value for each moment."""

    name: str
    values: Sequence[Value]


class Bar(NamedTuple):
    """A bar: what it is called, how much, of how much, and the words beside it. `href` makes its name a link; `state`
    says how it stands: `full` or `near` of a budget, else nothing."""

    name: str
    value: float
    most: float
    words: str
    href: str = ""
    state: str = ""


class Stage(NamedTuple):
    """A stage of a funnel, and how much it was at the time that one compares with; None where that is not known."""

    name: str
    value: int
    before: int | None = None


def counted(value: float) -> str:
    """A count as people read it: 12,345, and 3.2M from a million on."""
    return _short(value) if abs(value) >= 1e6 else f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def dollars(value: float) -> str:
    """Dollars: with cents below a thousand, and with more where there are only parts of one."""
    if 0 < abs(value) < 0.01:
        return f"${value:.4f}"
    return f"${value:,.2f}" if abs(value) < 1000 else f"${value:,.0f}" if abs(value) < 1e6 else f"${_short(value)}"


def percent(part: float, whole: float) -> str:
    """A share in words; a dash where there is no whole."""
    if whole <= 0:
        return "–"
    share = 100 * part / whole
    return f"{share:.0f}%" if share >= 10 or share == 0 else f"{share:.1f}%"


def lines(title: str, moments: Sequence[int], series: Sequence[Series], step: str, words: Wording = counted) -> Markup:
    """Lines over time. `moments` are the beginnings of the steps, in milliseconds; `step` is `minute`, `hour` or `day`.
    Five series at most look different.

    Series that are 0 throughout stay in the legend and the table. Where there is nothing at all, a sentence says so.
    """
    known = [[_finite(value) for value in each.values] for each in series]
    top = _ceiling(max((value for values in known for value in values if value is not None), default=0))
    if not moments or not any(value for values in known for value in values):
        return Markup('<figure class="chart"><figcaption>{}</figcaption><p class="none">{}</p></figure>').format(
            title, "Nothing happened in this time." if moments else "Nothing is kept of this time."
        )
    written = [_moment(at, step) for at in moments]
    told = " ".join(_told(each.name, values, written, words) for each, values in zip(series, known, strict=True))
    paths = Markup("").join(
        Markup('<path class="line s{}" d="{}"/>').format(_dash(place), _path(values, top))
        for place, values in enumerate(known)
    )
    return Markup(
        '<figure class="chart"><figcaption>{title}</figcaption>{legend}'
        '<div class="plot"><div class="y" aria-hidden="true"><span>{top}</span><span>{half}</span><span>0</span></div>'
        '<svg role="img" viewBox="0 0 {width} {height}" preserveAspectRatio="none"><title>{title}</title>'
        '<desc>{told}</desc><path class="axes" d="M0 0H{width}M0 {middle}H{width}M0 {height}H{width}"/>{paths}</svg>'
        '<div class="x" aria-hidden="true">{labels}</div></div>{table}</figure>'
    ).format(
        title=title,
        legend=_legend(series, known, words),
        top=words(top),
        half=words(top / 2),
        width=WIDTH,
        height=HEIGHT,
        middle=HEIGHT // 2,
        told=told,
        paths=paths,
        labels=Markup("").join(Markup("<span>{}</span>").format(text) for text in _spread(written)),
        table=_table(title, series, known, written, words),
    )


def bars(title: str, rows: Sequence[Bar], none: str) -> Markup:
    """Bars with their words, each a share of its own `most`; the sentence `none` where there are none."""
    if not rows:
        return Markup('<figure class="chart"><figcaption>{}</figcaption><p class="none">{}</p></figure>').format(
            title, none
        )
    body = Markup("").join(
        Markup('<tr><th scope="row">{}</th><td class="bar">{}</td><td>{}</td></tr>').format(
            Markup('<a href="{}">{}</a>').format(row.href, row.name) if row.href else row.name,
            _bar(row.value, row.most, row.state),
            row.words,
        )
        for row in rows
    )
    return _rows(title, body)


def funnel(title: str, stages: Sequence[Stage], before: str) -> Markup:
    """Stages as bars of the largest, each with its share of the one above it, and what it was `before`."""
    most = max((stage.value for stage in stages), default=0)
    body, above = [], None
    for stage in stages:
        share = f"{percent(stage.value, above)} of those above" if above is not None else ""
        then = f"{counted(stage.before)} {before}" if stage.before is not None else ""
        body.append(
            Markup('<tr><th scope="row">{}</th><td class="bar">{}</td><td>{}</td></tr>').format(
                stage.name,
                _bar(stage.value, most),
                Markup("<b>{}</b> {}").format(counted(stage.value), "; ".join(filter(None, (share, then)))),
            )
        )
        above = stage.value
    return _rows(title, Markup("").join(body))


def spark(title: str, values: Sequence[Value], words: Wording = counted) -> Markup:
    """A line as small as a word, told by its title alone."""
    known = [_finite(value) for value in values]
    there = [value for value in known if value is not None]
    said = f"at most {words(max(there))}, at last {words(there[-1])}" if there else "nothing is known"
    return Markup(
        '<svg class="spark" role="img" viewBox="0 0 {} {}" preserveAspectRatio="none"><title>{}: {}</title>'
        '<path class="line s1" d="{}"/></svg>'
    ).format(WIDTH, HEIGHT, title, said, _path(known, _ceiling(max(there, default=0))))


def _rows(title: str, body: Markup) -> Markup:
    return Markup(
        '<figure class="chart"><figcaption>{0}</figcaption><table class="bars"><caption class="unseen">{0}</caption>'
        '<thead class="unseen"><tr><th scope="col">what</th><th scope="col">bar</th><th scope="col">figures</th></tr>'
        "</thead><tbody>{1}</tbody></table></figure>"
    ).format(title, body)


def _bar(value: float, most: float, state: str = "") -> Markup:
    """The words beside a bar say it all, so it is drawn for the eye alone."""
    share = min(1.0, max(0.0, value / most)) if most > 0 else 0.0
    width = max(4.0, WIDTH * share) if value > 0 else 0.0  # What is there at all can be seen.
    return Markup(
        '<svg class="{}" viewBox="0 0 {} 1" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<rect class="whole" width="{}" height="1"/><rect class="part" width="{}" height="1"/></svg>'
    ).format(f"bar {state}".strip(), WIDTH, WIDTH, _digits(width))


def _path(values: Sequence[Value], top: float) -> str:
    """The line of the values from the left edge to the right one. What stands between two gaps is a dot: a line of no
    length, which round ends make visible."""
    apart = WIDTH / (len(values) - 1) if len(values) > 1 else 0.0
    parts, drawn = [], False
    for place, value in enumerate(values):
        if value is None:
            drawn = False
            continue
        x = _digits(place * apart if len(values) > 1 else WIDTH / 2)
        y = _digits(HEIGHT - HEIGHT * min(1.0, max(0.0, value / top)))
        alone = not drawn and (place + 1 == len(values) or values[place + 1] is None)
        parts.append(f"{'L' if drawn else 'M'}{x} {y}{'h0' if alone else ''}")
        drawn = True
    return "".join(parts)


def _ceiling(most: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50 and so on: what an axis ends with. 1 where there is nothing."""
    if most <= 0:
        return 1.0
    unit = 10.0 ** floor(log10(most))
    return next((step * unit for step in _STEPS if step * unit >= most * (1 - 1e-12)), 10 * unit)


def _legend(series: Sequence[Series], known: Sequence[Sequence[Value]], words: Wording) -> Markup:
    """Each with the line that it is drawn as, and what it comes to in all."""
    return Markup('<ul class="legend">{}</ul>').format(
        Markup("").join(
            Markup(
                '<li><svg viewBox="0 0 30 10" aria-hidden="true" focusable="false"><path class="line s{}" d="M1 5H29"/>'
                "</svg> {} <b>{}</b></li>"
            ).format(_dash(place), each.name, words(sum(value or 0 for value in values)))
            for place, (each, values) in enumerate(zip(series, known, strict=True))
        )
    )


def _told(name: str, values: Sequence[Value], written: Sequence[str], words: Wording) -> str:
    there = [(value, at) for value, at in zip(values, written, strict=True) if value is not None]
    if not there:
        return f"{name}: nothing is known."
    most, at = max(there, key=lambda pair: pair[0])
    peak = f", at most {words(most)} at {at}" if most else ""
    return f"{name}: {words(sum(value for value, _ in there))} in all{peak}."


def _table(
    title: str,
    series: Sequence[Series],
    known: Sequence[Sequence[Value]],
    written: Sequence[str],
    words: Wording,
) -> Markup:
    head = Markup("").join(Markup('<th scope="col">{}</th>').format(each.name) for each in series)
    body = Markup("").join(
        Markup('<tr><th scope="row">{}</th><td>{}</td></tr>').format(
            text, Markup("</td><td>").join("–" if value is None else words(value) for value in values)
        )
        for text, *values in zip(written, *known, strict=True)
    )
    return Markup(
        '<details id="{3}"><summary>Figures</summary>'
        '<div class="scroll" role="region" tabindex="0" aria-label="{0}, figures">'
        '<table><caption class="unseen">{0}</caption><thead><tr><th scope="col">from (UTC)</th>{1}</tr></thead>'
        "<tbody>{2}</tbody></table></div></details>"
    ).format(title, head, body, "figures-" + _NO_ID.sub("-", title.lower()))


def _spread(written: Sequence[str]) -> list[str]:
    """Labels at equal distances, the first and the last among them."""
    count = next((most for most in range(_LABELS, 1, -1) if (len(written) - 1) % (most - 1) == 0), 1)
    count = min(count, len(written))
    return [written[place * (len(written) - 1) // max(1, count - 1)] for place in range(count)]


def _moment(at: int, step: str) -> str:
    return f"{_date(at):{_FORMATS[step]}}"


def _date(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)


def _dash(place: int) -> int:
    return place % _DASHES + 1


def _finite(value: Value) -> Value:
    return value if value is not None and isfinite(value) else None


def _short(value: float) -> str:
    size, unit = next(((size, unit) for size, unit in _SHORT if abs(value) >= size), (1, ""))
    return f"{value / size:.3g}{unit}" if abs(value) < 1e15 else f"{value:.2e}"


def _digits(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
