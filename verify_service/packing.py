"""How a layout is packed, here and in Lua: both follow from its declaration in store/layouts.py.

Layouts grow at their end alone. What is missing there has the field's default, what is not known there is passed over.
"""

import struct
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Annotated, Any, ClassVar, Self, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT
from msgspec.structs import fields as fields_of

from verify_service import decoders

_HEAD = """-- Made from what is declared: see packing.py.
local layouts = {event_fields = {}}

-- The values of a stream's entry by their names.
function layouts.by_name(flat)
  local found = {}
  for i = 1, #flat, 2 do found[flat[i]] = flat[i + 1] end
  return found
end

local function each(convert, list)
  local found = {}
  for i, one in ipairs(list) do found[i] = convert(one) end
  return found
end
"""
_encode = msgspec.msgpack.Encoder().encode

Double = Annotated[int, "d"]
Byte = Annotated[int, "B"]
After = Annotated[int, "i"]
"""A time, kept as what has passed since the first field, which is one too."""
Late = Annotated[str, "late"]
"""A text that is known only when all is written: the server names an entry of a stream. Lua packs what stands before it
and what stands behind it apart."""


Bytes = msgspec.Raw
"""Bytes in an array: `text` makes them of what they are, `plain` gives that back."""
Empty = dict[str, str]
"""What an empty list is that Lua packed."""


def text(packed: bytes) -> msgspec.Raw:
    """Bytes for the server's msgpack, which is older than the type of byte strings and has one kind of string."""
    return msgspec.Raw(b"\xdb" + len(packed).to_bytes(4, "big") + packed)


# How many bytes stand before a string's own, by what it begins with: str 8, 16 and 32; of a shorter one there is one.
_BEFORE = {0xD9: 2, 0xDA: 3, 0xDB: 5}


def plain(packed: msgspec.Raw) -> bytes:
    """The bytes of what `text` or the server's msgpack packed."""
    found = bytes(packed)
    return found[_BEFORE.get(found[0], 1) :]


class Layout(msgspec.Struct, frozen=True):
    """What all layouts have: a name, and functions in Lua."""

    @classmethod
    def called(cls) -> str:
        """Its name in Lua."""
        return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in cls.__name__).lstrip("_")

    @classmethod
    def lua(cls) -> str:
        """The text of its functions in the Lua module `layouts`."""
        raise NotImplementedError


class Array(Layout, array_like=True, frozen=True):
    """A msgpack array, whose parts stand in the order of the fields. One that `keeps_tail` is packed anew in Lua with
    what a later version had put behind it. An empty list of Lua's is an empty map in msgpack."""

    keeps_tail: ClassVar[bool] = False

    def pack(self) -> bytes:
        """Its bytes."""
        return _encode(self)

    @classmethod
    def open(cls, packed: bytes) -> Self:
        """What was packed. Raises msgspec.DecodeError for what is not this layout."""
        found: Self = decoders.msgpack(cls)(packed)
        return found

    @classmethod
    def lua(cls) -> str:
        """`name_…` and `array_…`, from array to table and back, and `open_…` and `pack_…`, the same with msgpack."""
        name, parts = cls.called(), fields_of(cls)
        named = [f"{part.name} = {_named(f'a[{n}]', part)}" for n, part in enumerate(parts, 1)]
        array = ", ".join(_arrayed(f"t.{part.name}", part) for part in parts)
        kept = ""
        if cls.keeps_tail:
            named.append(f"tail = #a > {len(parts)} and {{unpack(a, {len(parts) + 1})}} or nil")
            kept = "\n  for _, part in ipairs(t.tail or {}) do a[#a + 1] = part end"
        return (
            f"function layouts.name_{name}(a)\n  return {{{', '.join(named)}}}\nend\n"
            f"function layouts.array_{name}(t)\n  local a = {{{array}}}{kept}\n  return a\nend\n"
            f"function layouts.open_{name}(packed) return layouts.name_{name}(cmsgpack.unpack(packed)) end\n"
            f"function layouts.pack_{name}(t) return cmsgpack.pack(layouts.array_{name}(t)) end\n"
        )


class Packed(Layout, frozen=True, kw_only=True):
    """A string: numbers in little endian, then texts that each end with a zero. What a later version put behind them is
    `rest`, and is kept. Of the last `grown` texts those at the end may be missing, as an earlier version wrote it; they
    are '' then."""

    grown: ClassVar[int] = 0
    rest: bytes = b""

    @classmethod
    def shape(cls) -> list[tuple[str, str]]:
        """Each field's name and how it is kept: d, i, B, late, or s."""
        hints = get_type_hints(cls, include_extras=True)
        kinds = ((each.name, get_args(hints[each.name])) for each in fields_of(cls) if each.name != "rest")
        return [(name, next((part for part in args[1:]), "s") if args else "s") for name, args in kinds]

    def pack(self) -> bytes:
        """Its bytes."""
        numbers, texts = _shape(type(self))
        began = getattr(self, numbers[0][0])
        values = [getattr(self, name) - (began if kind == "i" else 0) for name, kind in numbers]
        said = b"".join(getattr(self, name).encode() + b"\0" for name in texts)
        return _numbers(type(self)).pack(*values) + said + self.rest

    @classmethod
    def open(cls, packed: bytes) -> Self:
        """What was packed. Raises struct.error or ValueError for what is not this layout."""
        numbers, texts = _shape(cls)
        fixed = _numbers(cls)
        first, *others = map(int, fixed.unpack_from(packed))
        values = [
            first,
            *(other + (first if kind == "i" else 0) for other, (_, kind) in zip(others, numbers[1:], strict=True)),
        ]
        *said, rest = packed[fixed.size :].split(b"\0", len(texts))
        if missing := len(texts) - len(said):
            if missing > cls.grown or rest:
                raise ValueError("too few texts")
            said += [b""] * missing
        found = dict(zip((name for name, _ in numbers), values, strict=True))
        return cls(**found, **dict(zip(texts, map(bytes.decode, said), strict=True)), rest=rest)

    @classmethod
    def lua(cls) -> str:
        """`open_…` from the string to a table, and `pack_…` back; where a field is late, in two parts around it."""
        name, shape = cls.called(), cls.shape()
        first = shape[0][0]
        late = next((place for place, (_, kind) in enumerate(shape) if kind == "late"), len(shape))
        named = ", ".join(f"{field} = {f'{first} + ' if kind == 'i' else ''}{field}" for field, kind in shape)
        padded, judged = "packed", ""
        if cls.grown:
            padded += " .. '" + "\\0" * cls.grown + "'"
            judged = "  if last > #packed + 1 and packed:byte(-1) ~= 0 then error('too few texts') end\n"
        return (
            f"function layouts.open_{name}(packed)\n"
            f"  local {', '.join(field for field, _ in shape)}, last = struct.unpack('{_format(shape)}', {padded})\n"
            f"{judged}"
            f"  return {{{named}, rest = packed:sub(last)}}\nend\n"
            f"function layouts.pack_{name}(t)\n  local {first} = t.{first}\n"
            f"  return {_lua_pack(shape[:late], first)}"
            + (f", '\\0' .. {_lua_pack(shape[late + 1 :], first)}" if late < len(shape) else "")
            + " .. (t.rest or '')\nend\n"
        )


class Line(Layout, frozen=True):
    """A line of text: its parts, none of which holds what stands between them or ends it. Lua keeps as `tail` what a
    later version put behind them."""

    between: ClassVar[str]
    end: ClassVar[str]

    def written(self) -> str:
        """The line, with its end."""
        return self.between.join(msgspec.structs.astuple(self)) + self.end

    @classmethod
    def each(cls, packed: str) -> Iterator[Self]:
        """The lines of a text. Raises ValueError for what is none."""
        known = len(cls.__struct_fields__)
        for line in packed.split(cls.end)[:-1]:
            yield cls(*line.split(cls.between)[:known])

    @classmethod
    def lua(cls) -> str:
        """`line_…` from a table to a line, and `each_…`, which goes over the lines of a text as tables."""
        name, parts = cls.called(), [part.name for part in fields_of(cls)]
        between, end = (repr(each)[1:-1] for each in (cls.between, cls.end))
        pattern = between.join([f"([^{between}{end}]*)"] * len(parts)) + f"([^{end}]*){end}"
        written = f" .. '{between}' .. ".join(f"t.{part}" for part in parts)
        named = ", ".join(f"{part} = {part}" for part in (*parts, "tail"))
        return (
            f"function layouts.line_{name}(t) return {written} .. (t.tail or '') .. '{end}' end\n"
            f"function layouts.each_{name}(text)\n  local following = text:gmatch('{pattern}')\n"
            f"  return function()\n    local {', '.join(parts)}, tail = following()\n"
            f"    return {parts[0]} and {{{named}}}\n  end\nend\n"
        )


class Answer(Array, frozen=True):
    """What a function answers: an array as the server's protocol has it. Its texts are bytes there."""

    @classmethod
    def told(cls, answer: Sequence[Any]) -> Self:
        """What was answered, by name. Parts behind those that are known are passed over."""
        parts = list(answer[: len(cls.__struct_fields__)])
        for place, read in _readers(cls):
            if place < len(parts):
                parts[place] = read(parts[place])
        return cls(*parts)

    @classmethod
    def lua(cls) -> str:
        """`array_…`, from a table to what is answered."""
        array = ", ".join(_arrayed(f"t.{part.name}", part) for part in fields_of(cls))
        return f"function layouts.array_{cls.called()}(t) return {{{array}}} end\n"


@cache
def _readers(layout: type[Answer]) -> list[tuple[int, Any]]:
    """How a part of an answer is read, by its place; of those that are not taken as they are."""

    def texts(parts: Sequence[bytes]) -> tuple[str, ...]:
        return tuple(part.decode() for part in parts)

    known = {str: bytes.decode, int: None, bytes: None, Sequence[str]: texts, Sequence[int]: None}
    reads = [known[part.type] for part in fields_of(layout)]
    return [(place, read) for place, read in enumerate(reads) if read]


def lua_module(layouts: Sequence[type[Layout]]) -> str:
    """The text of the Lua module `layouts`, with the functions of each."""
    return "\n".join([_HEAD, *(layout.lua() for layout in layouts), "return layouts\n"])


def _inner(kind: Any) -> tuple[Any, bool]:
    """The layout that a field's type holds, if any, and whether it holds many of them."""
    for one in (kind, *get_args(kind)):
        many = _is_a(get_origin(one), Sequence)
        inner = get_args(one)[0] if many else one
        if _is_a(inner, Array):
            return inner, many
    return None, False


def _is_a(kind: Any, of: type) -> bool:
    return isinstance(kind, type) and issubclass(kind, of)


def _default(part: msgspec.structs.FieldInfo) -> str | None:
    """A field's default in Lua; None where it has none, or where that is nothing."""
    if part.default_factory is not NODEFAULT:
        return "{}"
    match part.default:
        case str() as words:
            return f"'{words}'"
        case bytes() | msgspec.Raw():
            return "''"
        case bool() as said:
            return str(said).lower()
        case int() as number:
            return str(number)
        case tuple():
            return "{}"
    return None


def _or_default(value: str, part: msgspec.structs.FieldInfo) -> str:
    default = "false" if part.type is bool else _default(part)
    return value if default is None else f"{value} or {default}"


def _converted(value: str, part: msgspec.structs.FieldInfo, verb: str) -> str:
    """A field's value as it goes into or comes out of an array: nested layouts by their own functions."""
    inner, many = _inner(part.type)
    given = _or_default(value, part)
    if inner is None:
        return given
    function = f"layouts.{verb}_{inner.called()}"
    if many:
        return f"each({function}, {given})"
    return f"{value} and {function}({value})" if part.default is None else f"{function}({given})"


def _named(value: str, part: msgspec.structs.FieldInfo) -> str:
    return _converted(value, part, "name")


def _arrayed(value: str, part: msgspec.structs.FieldInfo) -> str:
    return _converted(value, part, "array")


def _format(shape: Sequence[tuple[str, str]]) -> str:
    return "<" + "".join("s" if kind == "late" else kind for _, kind in shape)


def _lua_pack(shape: Sequence[tuple[str, str]], first: str) -> str:
    values = (f"t.{name} - {first}" if kind == "i" else first if name == first else f"t.{name}" for name, kind in shape)
    return f"struct.pack('{_format(shape)}', {', '.join(values)})"


@cache
def _shape(layout: type[Packed]) -> tuple[list[tuple[str, str]], list[str]]:
    """The numbers with their kinds, and the names of the texts behind them."""
    shape = layout.shape()
    texts = [name for name, kind in shape if kind in ("s", "late")]
    return shape[: len(shape) - len(texts)], texts


@cache
def _numbers(layout: type[Packed]) -> struct.Struct:
    return struct.Struct("<" + "".join(kind for _, kind in _shape(layout)[0]))
