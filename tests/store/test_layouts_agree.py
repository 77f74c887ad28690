"""Python and the server's Lua pack each declared layout alike, and read each other's bytes: of any values, and where
parts are missing at the end or unknown behind it."""

import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Union, get_args, get_origin

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict
from msgspec.structs import fields as fields_of

from verify_service.packing import Answer, Array, Empty, Line, Packed, text
from verify_service.store import Store, event_types
from verify_service.store.functions import LAYOUTS as ALL
from verify_service.store.functions import LUA
from verify_service.store.layouts import Facts

ARRAYS = [layout for layout in ALL if issubclass(layout, Array) and not issubclass(layout, Answer)]
ANSWERS = [layout for layout in ALL if issubclass(layout, Answer)]
RECORDS = [layout for layout in ALL if issubclass(layout, Packed)]
LINES = [layout for layout in ALL if issubclass(layout, Line)]

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
# Neither ends a line nor a part of one.
PLAIN = st.text(st.characters(codec="utf-8", exclude_characters="\0\t\n,;"), max_size=20)
NUMBERS = st.integers(-(2**52), 2**52)
BYTES = {"d": NUMBERS, "B": st.integers(0, 255), "i": st.integers(0, 2**31 - 1)}


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type; a list has something in it, because Lua cannot tell an empty one from a map."""
    if isinstance(kind, type) and issubclass(kind, Array):
        return instances(kind)
    if get_origin(kind) in (Union, types.UnionType):
        return st.one_of([values(each) for each in get_args(kind) if each != Empty])
    if get_origin(kind) is tuple and get_args(kind)[-1] is not ...:
        return st.tuples(*map(values, get_args(kind)))
    if get_origin(kind) in (Sequence, tuple):
        return st.lists(values(get_args(kind)[0]), min_size=1, max_size=3)
    if get_origin(kind) in (Mapping, dict):
        return st.dictionaries(WORDS, values(get_args(kind)[1]), min_size=1, max_size=3)
    known = {
        str: WORDS,
        int: NUMBERS,
        float: st.floats(-1e9, 1e9),
        bytes: WORDS.map(str.encode),
        bool: st.booleans(),
        type(None): st.none(),
        msgspec.Raw: WORDS.map(lambda words: text(words.encode())),
    }
    found: st.SearchStrategy[Any] = known[kind]
    return found


def instances(layout: type[Array]) -> st.SearchStrategy[Any]:
    return st.builds(layout, **{part.name: values(part.type) for part in fields_of(layout)})


def named(value: Any) -> Any:
    """A layout as maps and lists; what is nothing is left out, as a table of Lua's has it."""
    if isinstance(value, Array):
        return {part.name: named(each) for part in fields_of(value) if (each := getattr(value, part.name)) is not None}
    if isinstance(value, msgspec.Raw):
        return msgspec.msgpack.decode(value)
    if isinstance(value, str | Mapping) or not isinstance(value, Sequence):
        return value
    return [named(each) for each in value]


def said(store: Store, body: str, *args: Any) -> Any:
    """What a script answers that uses the declared layouts."""
    return store.link.command(0, ["EVAL", f"local layouts = (function()\n{LUA}end)()\n{body}", 0, *args])


def both(layout: type[Array]) -> str:
    """Answers an array's table, and the same packed anew."""
    name = layout.called()
    return f"local t = layouts.open_{name}(ARGV[1]) return {{cmsgpack.pack(t), layouts.pack_{name}(t)}}"


def alike(seen: Any, expected: Any) -> bool:
    """Whether Lua saw what is expected, an empty list being an empty map to it."""
    if isinstance(expected, dict) and isinstance(seen, dict):
        return seen.keys() == expected.keys() and all(alike(seen[name], each) for name, each in expected.items())
    return bool(seen == expected or (not seen and not expected and expected is not False))


@pytest.mark.parametrize("layout", ARRAYS, ids=lambda layout: layout.__name__)
@settings(max_examples=25)
@given(data=st.data())
def test_an_array_is_the_same_on_both_sides(store: Store, layout: type[Array], data: st.DataObject) -> None:
    """What Python packs Lua reads by the same names, and what Lua packs of that Python reads as it was."""
    one = data.draw(instances(layout))
    seen, packed = said(store, both(layout), one.pack())
    assert msgspec.msgpack.decode(seen) == named(one)
    assert named(layout.open(packed)) == named(one)


@pytest.mark.parametrize("layout", ARRAYS, ids=lambda layout: layout.__name__)
@settings(max_examples=25)
@given(data=st.data())
def test_an_array_of_another_version_is_read_alike(store: Store, layout: type[Array], data: st.DataObject) -> None:
    """Parts that are missing at its end have their defaults, and those that are not known are passed over; a layout
    that keeps its tail keeps those."""
    one, parts = data.draw(instances(layout)), fields_of(layout)
    needed = sum(part.required for part in parts)
    least = data.draw(st.integers(needed, len(parts)))
    more = data.draw(st.lists(WORDS, max_size=2)) if least == len(parts) else []
    values = [getattr(one, part.name) for part in parts]
    there = dict(zip((part.name for part in parts), values[:least], strict=False))
    bytes_of = msgspec.msgpack.encode([*values[:least], *more])
    seen, packed = said(store, both(layout), bytes_of)
    expected = named(layout(**there))
    assert named(layout.open(bytes_of)) == expected
    assert alike(msgspec.msgpack.decode(seen), expected | ({"tail": more} if layout.keeps_tail and more else {}))
    kept = msgspec.msgpack.decode(packed)
    assert kept[len(parts) :] == (more if layout.keeps_tail else [])


@pytest.mark.parametrize("layout", ANSWERS, ids=lambda layout: layout.__name__)
@settings(max_examples=25)
@given(data=st.data())
def test_an_answer_is_read_by_the_names_that_lua_gave_it(
    store: Store, layout: type[Answer], data: st.DataObject
) -> None:
    """Also where a later version answers more."""
    one = data.draw(instances(layout))
    body = f"local a = layouts.array_{layout.called()}(cjson.decode(ARGV[1])) a[#a + 1] = 'more' return a"
    parts = {name: part.decode() if isinstance(part, bytes) else part for name, part in asdict(one).items()}
    told = layout.told(said(store, body, msgspec.json.encode(parts)))
    assert {name: [*part] if isinstance(part, tuple) else part for name, part in asdict(told).items()} == asdict(one)


@pytest.mark.parametrize("layout", RECORDS, ids=lambda layout: layout.__name__)
@settings(max_examples=100)
@given(data=st.data())
def test_a_record_is_the_same_on_both_sides(store: Store, layout: type[Packed], data: st.DataObject) -> None:
    """To the byte, whichever packs it; with what a later version put behind it."""
    shape, name = layout.shape(), layout.called()
    drawn: dict[str, Any] = {each: data.draw(BYTES.get(kind, WORDS)) for each, kind in shape}
    drawn |= {each: drawn[shape[0][0]] + drawn[each] for each, kind in shape if kind == "i"}
    one = layout(**drawn, rest=data.draw(st.binary(max_size=20)))
    assert layout.open(one.pack()) == one
    late = next((f" .. t.{each} .. tail" for each, kind in shape if kind == "late"), "")
    body = (
        f"local t = layouts.open_{name}(ARGV[1]) local head, tail = layouts.pack_{name}(t) t.rest = nil "
        f"return {{cmsgpack.pack(t), head{late}}}"
    )
    seen, packed = said(store, body, one.pack())
    assert packed == one.pack()
    assert msgspec.msgpack.decode(seen) == drawn


@pytest.mark.parametrize("layout", [layout for layout in RECORDS if layout.grown], ids=lambda layout: layout.__name__)
def test_a_record_of_an_earlier_version_lacks_what_came_since(store: Store, layout: type[Packed]) -> None:
    """On both sides its last texts are '' then, one or all of them, and it is packed with them from then on; one that
    was cut anywhere else is none."""
    drawn: dict[str, Any] = {name: "a" if kind in ("s", "late") else 1 for name, kind in layout.shape()}
    whole = layout(**drawn).pack()
    for missing in range(1, layout.grown + 1):
        packed = whole[: -2 * missing]
        one = layout.open(packed)
        texts = [getattr(one, name) for name, kind in layout.shape() if kind in ("s", "late")]
        assert (texts[-missing:], set(texts[:-missing])) == ([""] * missing, {"a"})
        late = next((f" .. t.{each} .. tail" for each, kind in layout.shape() if kind == "late"), "")
        body = (
            f"local t = layouts.open_{layout.called()}(ARGV[1]) local head, tail = layouts.pack_{layout.called()}(t) "
        )
        assert said(store, f"{body} return head{late}", packed) == one.pack()
    for cut in (1, 3, 2 * layout.grown + 1, 2 * layout.grown + 2):
        with pytest.raises(ValueError, match="too few texts"):
            layout.open(whole[:-cut])
        readable = f"return pcall(layouts.open_{layout.called()}, ARGV[1]) and 1 or 0"
        assert said(store, readable, whole[:-cut]) == 0


@pytest.mark.parametrize("layout", LINES, ids=lambda layout: layout.__name__)
@settings(max_examples=100)
@given(data=st.data())
def test_lines_are_the_same_on_both_sides(store: Store, layout: type[Line], data: st.DataObject) -> None:
    """Whichever writes them; parts that a later version put behind a line are passed over, and kept by Lua."""
    names = [part.name for part in fields_of(layout)]
    lines = data.draw(st.lists(st.builds(layout, **dict.fromkeys(names, PLAIN)), max_size=4))
    more = data.draw(st.sampled_from(["", f"{layout.between}more"]))
    written = "".join(line.written().removesuffix(layout.end) + more + layout.end for line in lines)
    assert [*layout.each(written)] == lines
    body = (
        f"local found, again = {{}}, '' for line in layouts.each_{layout.called()}(ARGV[1]) do "
        f"found[#found + 1] = line again = again .. layouts.line_{layout.called()}(line) end "
        "return {cmsgpack.pack(found), again}"
    )
    seen, again = said(store, body, written)
    assert (msgspec.msgpack.decode(seen) or []) == [asdict(line) | {"tail": more} for line in lines]
    assert again.decode() == written


@pytest.mark.parametrize("kind", event_types.ALL, ids=lambda kind: kind.__name__)
@settings(max_examples=25)
@given(data=st.data())
def test_an_event_is_read_as_it_was_written(store: Store, kind: type[event_types.Event], data: st.DataObject) -> None:
    """By its names, in the types of an export; what is empty is left out, and what a later version adds is a text."""
    forms = {int: NUMBERS.map(str), Sequence[str]: st.lists(PLAIN, min_size=1).map(",".join)}
    forms |= dict.fromkeys((event_types.Time, event_types.Money), st.integers(1, 2**52).map(str))
    drawn = {
        part.encode_name: data.draw(forms.get(part.type, PLAIN)) for part in fields_of(kind)[3:] if part.name != "facts"
    }
    known = {"revision": "7", "price": "1500000", "country": "FR", "keys": "account=a1,session=b2"}
    facts = known if "facts" in kind.__struct_fields__ else {}
    event = data.draw(st.sampled_from(kind.events))
    body = "return layouts.event_fields[ARGV[1]](cmsgpack.unpack(ARGV[2]))"
    packed = {"facts": text(Facts(**facts).pack())} if facts else {}
    written = said(store, body, event, msgspec.msgpack.encode(drawn | packed))
    stream = [b"at", b"1500", b"event", event.encode(), b"id", b"it", *written, b"more", b"1"]
    expected: dict[str, Any] = {"at": 1.5, "event": event, "id": "it", "more": "1"}
    expected |= (
        {"revision": 7, "price": 1.5, "country": "FR", "keys": {"account": "a1", "session": "b2"}} if facts else {}
    )
    exported: dict[Any, Callable[[str], Any]] = {int: int, Sequence[str]: lambda value: value.split(",")}
    exported |= {event_types.Time: lambda value: int(value) / 1000, event_types.Money: lambda value: int(value) / 1e6}
    for part in fields_of(kind)[3:]:
        if value := drawn.get(part.encode_name):
            expected[part.encode_name] = exported.get(part.type, str)(value)
    assert event_types.read(stream) == expected
