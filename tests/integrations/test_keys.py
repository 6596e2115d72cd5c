"""The keys of names: any text, of any length, can be read back, and sorts as the text."""

from hypothesis import given
from hypothesis import strategies as st

from axon_storage import SessionRow
from axon_storage.integrations.keys import MAX_LENGTH, NAME, SEPARATOR, after, escape, part, scope_of, text_of, unescape

TEXTS = st.text(st.characters(exclude_categories=()) | st.sampled_from("\0\x01 !\"%'/\ud7ff\ud800\udfff\ue000"))
LIMIT = 50


@given(TEXTS)
def test_any_text_is_read_back_from_a_part_that_can_be_stored(text: str) -> None:
    escaped = escape(text)
    assert unescape(escaped) == text
    assert SEPARATOR not in escaped
    SessionRow(tenant_id="default", scope="", key="", value=escaped, source_step="").to_json()


@given(TEXTS, TEXTS)
def test_parts_sort_as_their_texts(one: str, other: str) -> None:
    assert (escape(one) < escape(other)) == (one < other)


@given(TEXTS, TEXTS, TEXTS)
def test_the_keys_after_a_part_are_one_range(one: str, other: str, last: str) -> None:
    key = f"{escape(other)}{SEPARATOR}{escape(last)}"
    assert (f"{escape(one)}{SEPARATOR}" <= key < after(escape(one))) == (one == other)


@given(TEXTS.map(lambda text: text * 30), TEXTS)
def test_a_part_is_never_too_long_nor_that_of_another_text(text: str, other: str) -> None:
    made = part(text, LIMIT)
    assert len(made) <= LIMIT
    assert text_of(made) in {text, None}
    assert (text_of(made) is None) == (len(escape(text)) > LIMIT)
    assert (part(other, LIMIT) == made) == (other == text)


def test_a_cut_part_begins_as_its_text() -> None:
    assert part("x" * 100, LIMIT).startswith("xxxxx!!")
    assert part("x" * 100, LIMIT) != part("x" * 101, LIMIT)


@given(TEXTS)
def test_no_part_is_the_key_of_the_full_name(text: str) -> None:
    assert part(text, LIMIT) != NAME


def test_a_scope_fits_into_its_field() -> None:
    assert len(scope_of("kind", "x" * 1000)) == MAX_LENGTH
    assert scope_of("kind", "a b") == "kind a!Bb"
