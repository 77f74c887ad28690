"""What is said of the policy is true: the schema that editors read, the page on every key, the commented default."""

import re
from pathlib import Path
from typing import Any, get_args

import jsonschema_rs
import msgspec
import pytest

from tests.support.commands import run
from tests.support.policy_page import DOCS, PAGE, judge
from verify_service.duration import Duration
from verify_service.policy import file as policy_file
from verify_service.policy import schema, sections
from verify_service.policy.kinds import KINDS
from verify_service.policy.kinds.pumping import Pumping

pytestmark = pytest.mark.slow

TABLES: dict[str, type[msgspec.Struct]] = {
    "code": sections.CodeSettings,
    "factors": sections.FactorSettings,
    "line_types": sections.LineTypes,
    "countries": sections.Countries,
    "limit": sections.LimitConfig,
    "allow": sections.Entries,
}


def section(heading: str) -> str:
    """The page from a heading to the next one of its depth."""
    return re.split(r"\n## ", PAGE.split(heading, 1)[1])[0]


def test_the_schema_in_the_docs_is_the_one_that_is_printed() -> None:
    """Made by `verify-service policy schema`; a struct that changes changes the file."""
    assert (DOCS / "policy.schema.json").read_text("utf-8") == schema.text()


def test_the_schema_takes_the_shipped_policy_in_every_mode() -> None:
    """As it is, and with every rule enforced."""
    text = policy_file.default_text()
    judge(text)
    judge(text.replace('mode = "observe"', 'mode = "enforce"'))


@pytest.mark.parametrize(
    "text",
    [
        "[code]\ndigit = 6",
        "[code]\ndigits = 9",
        '[code]\nlife = "10"',
        "[codes]",
        '[[limit]]\nname = "My Limit"\nof = ["number"]\nallow = "1/day"',
        '[[limit]]\nname = "n"\nof = ["city"]\nallow = "1/day"',
        '[[rule]]\nname = "x"\nkind = "pump"',
        '[[rule]]\nname = "budget"\nof = ["number"]\nallow = "$1/day"',
        "[prices]\nUS = -1",
    ],
)
def test_the_schema_marks_what_the_parser_refuses(text: str) -> None:
    """The same mistakes, while they are typed."""
    with pytest.raises(jsonschema_rs.ValidationError):
        judge(text)


def test_every_key_has_words_in_the_schema() -> None:
    """Names and modes explain themselves; each other key says what it is."""

    def silent(node: dict[str, Any], at: str) -> list[str]:
        found = []
        for name, value in node.get("properties", {}).items():
            if "description" not in value and name not in {"mode", "counts", "kind"} and "$ref" not in str(value):
                found.append(f"{at}.{name}")
        return found

    described = schema.schema()["$defs"]
    assert [key for name, struct in described.items() for key in silent(struct, name)] == []


@pytest.mark.parametrize("table", TABLES)
def test_the_page_has_every_key_of_every_table(table: str) -> None:
    """In the section of its table, in backticks."""
    heading = next(line for line in PAGE.splitlines() if line.startswith("## ") and f"[{table}]" in line)
    words = section(heading)
    assert [name for name in TABLES[table].__struct_fields__ if f"`{name}`" not in words] == []


def test_the_page_has_every_table_and_every_kind_of_rule() -> None:
    """Each under a heading."""
    headings = "\n".join(line for line in PAGE.splitlines() if line.startswith("#"))
    assert [name for name in sections.Policy.__struct_fields__ if f"[{name}]" not in headings] == []
    assert [kind for kind in KINDS if f'kind = "{kind}"' not in headings] == []
    assert [word for word in get_args(sections.Dimension) if word not in section("## `[[limit]]`")] == []


def shipped(words: str) -> dict[str, str]:
    """What tables say of each key in their third column."""
    return {
        row.split("|")[1].strip(" `"): row.split("|")[3].strip(' `"') for row in words.splitlines() if "|" in row[1:]
    }


def test_the_page_states_the_shipped_figures() -> None:
    """Digits, life, checks, sends, line types and the ceiling of the page are those of the file."""
    policy = policy_file.load(None)
    rows, factors = shipped(section("## `[code]`")), shipped(section("## `[factors]`"))
    code = policy.code
    assert [rows[name] for name in ("digits", "life", "checks", "sends")] == [
        str(code.digits),
        code.life.text,
        str(code.checks),
        str(code.sends),
    ]
    assert float(rows["guess_ceiling"]) == code.guess_ceiling
    kept = msgspec.to_builtins(policy.factors)
    assert {name: type(value)(factors[name]) for name, value in kept.items()} == kept
    line = next(row for row in section("## `[line_types]`").splitlines() if row.startswith("| `deny`"))
    assert set(line.split("|")[3].strip().split(", ")) == policy.line_types.deny


def test_the_page_states_the_detectors_defaults() -> None:
    """Every key of the pumping rule has its row, with the default that the struct has."""
    rows = shipped(PAGE)
    told, kept = {}, {}
    for field in msgspec.structs.fields(Pumping)[2:]:
        default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
        kept[field.name] = default.text if isinstance(default, Duration) else float(default)
        text = rows.get(field.name, "")
        told[field.name] = text if isinstance(default, Duration) else float(text.replace(",", "") or "nan")
    assert told == kept


def test_the_shipped_policy_teaches() -> None:
    """Limits in force, rules watching, and a comment at every table."""
    policy = policy_file.load(None)
    assert {limit.mode for limit in policy.limit} == {"enforce"}
    assert {rule.mode for rule in policy.rule} == {"observe"}
    assert {type(rule).__struct_config__.tag for rule in policy.rule} == set(KINDS)
    tables = re.split(r"^\[", policy_file.default_text(), flags=re.MULTILINE)[1:]
    lonely = [
        table.split("]")[0] for table in tables if "#" not in table and not table.startswith(("block]", "[rule]"))
    ]
    assert lonely == []


def test_the_cookbook_prints_what_its_backtest_prints(tmp_path: Path) -> None:
    """Its attack, made anew and judged by its strict policy and the shipped one: line for line what is shown."""
    page = (DOCS / "fraud-cookbook.md").read_text("utf-8")
    simulated = run("simulate", "spread", "--seed", "31", "--per-day", "3000")
    (tmp_path / "yesterday.jsonl").write_text(simulated.stdout)
    assert f"\n{len(simulated.stdout.splitlines())} yesterday.jsonl\n" in page
    default = policy_file.default_text()
    changed = 'mode = "enforce"\nprefix_messages = 3\ncountry_messages = 6'
    (tmp_path / "default.toml").write_text(default)
    (tmp_path / "strict.toml").write_text(re.sub(r'(?<=\nname = "pumping")(.*\n)mode = .*', rf"\1{changed}", default))
    shown = re.findall(
        r"^\$ verify-service (policy backtest \w+\.toml --events yesterday.*)\n((?:.+\n)+?)```", page, re.MULTILINE
    )
    told = {words: block.splitlines() for words, block in shown if "enforce" not in words}
    shipped, both = sorted(told, key=len)  # the second run judges by both policies, and prints what the first does
    printed = run(*both.split(), cwd=tmp_path).stdout.splitlines()
    assert [line for line in (*told[shipped], *told[both]) if line != "…" and line not in printed] == []
