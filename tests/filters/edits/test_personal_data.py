import base64
import random
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from filters.edits.edited import Edited
from filters.edits.personal_data import FINDERS, PersonalData
from filters.text import TextBatch
from tests.filters.texts import any_text, crafted_text

KEY = base64.b64encode(bytes(range(240))).decode()
JWT = ".".join(
    base64.urlsafe_b64encode(part).decode().rstrip("=")
    for part in (b'{"alg":"HS256"}', b'{"sub":"1234567890"}', bytes(32))
)


def apply(*texts: str, **settings: object) -> Edited:
    edit = PersonalData.model_validate(settings)
    return edit.apply(pa.table({"text": pa.array(texts, pa.large_string())}))


def private_key(kind: str = "RSA ") -> str:
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{KEY}\n-----END {kind}PRIVATE KEY-----"


FOUND = {
    "email": [
        ("write to jane.doe+x@mail.example.co.uk.", "write to [EMAIL]."),
        ("'a_b@x-y.org', <c@d.museum>", "'[EMAIL]', <[EMAIL]>"),
        ("邮箱abc@example.cn电话", "邮箱[EMAIL]电话"),
        ("me@example.xn--p1ai!", "[EMAIL]!"),
        ("mailto:a@b.com?subject=x", "mailto:[EMAIL]?subject=x"),
    ],
    "ip": [
        ("from 8.8.8.8, port 8.8.4.4:53/udp", "from [IP], port [IP]:53/udp"),
        ("[2606:4700:4700::1111] 2a00:1450:4001:81b::200e.", "[[IP]] [IP]."),
    ],
    "phone": [
        ("call +1 415-555-2671 now", "call [PHONE] now"),
        ("电话+86 138 1234 5678。", "电话[PHONE]。"),
        ("(415) 555-2671, 415/555-2671, 1-415-555-2671", "[PHONE], [PHONE], [PHONE]"),
        ("+44 (20) 7946 0958", "[PHONE]"),
        ("tel. +33\u00a01\u202f23\u00a045\u00a067\u00a089", "tel. [PHONE]"),
        ("1\u2011415\u2011555\u20112671, (415)\u00a0555\u00a02671", "[PHONE], [PHONE]"),
    ],
    "card": [
        ("4111 1111 1111 1111 12/27", "[CARD] 12/27"),
        ("4111111111111111 12/27", "[CARD] 12/27"),
        ("3782-822463-10005; 6011000990139424", "[CARD]; [CARD]"),
        ("4111\u00a01111\u00a01111\u00a01111\u00a012/27", "[CARD]\u00a012/27"),
        ("4111\u20111111\u20111111\u20111111", "[CARD]"),
    ],
    "key": [
        ("id AKIAIOSFODNN7EXAMPLE end", "id [KEY] end"),
        ("ghp_" + "aB3" * 12, "[KEY]"),
        ("token=sk-proj-" + "aB3_" * 10, "token=[KEY]"),
        ("sk_live_" + "aB3" * 8 + " rk_live_" + "aB3" * 9, "[KEY] [KEY]"),
        ("glpat-" + "aB3_-" * 4 + " npm_" + "aB3" * 12, "[KEY] [KEY]"),
        ("pypi-AgEI" + "aB3_-" * 12 + " SG." + "a" * 22 + "." + "B" * 43, "[KEY] [KEY]"),
        (f"Bearer {JWT}.", "Bearer [KEY]."),
        (f"x\n{private_key()}\ny", "x\n[KEY]\ny"),
        (f"{private_key('')[:-40]}\n", "[KEY]\n"),
    ],
}
KEPT = [
    "a@b, a@b.c, @user, user@, x@1.2.3, pkg@2.0.1, medium.com/@user, a.@b.com, "
    + "a" * 65
    + "@b.com",
    "10.0.0.1 192.168.1.1 127.0.0.1 224.0.0.1 203.0.113.7 256.1.1.1 1.2.3.4.5 v8.8.8.8 08.8.8.8",
    "2001:db8::1 fe80::1 12:30:45 std::dec dead::beef ::1",
    "2024-11-25 200 300 4000 115-555-2671 415-155-2671 +0 1234 5678 +123 4567 13812345678",
    "4111111111111112 0.4111111111111111 41111111111111111111 1234 4111 1111 1111 1111",
    "4111 1111 1111 1111 1111 1111 x4111111111111111 4111-1111 11111111 " + "4" * 400,
    "1234\u00a04111\u00a01111\u00a01111\u00a01111 4111\u00a01111-1111\u00a01111",
    "415\u00a0555\u00a02671",
    "sk_live_short npm_abc glpat-x SGx" + "a" * 22 + "." + "B" * 43,
    "AKIA sk-short eyJ.eyJ.x ghp_abc risk-" + "a" * 40 + " -----BEGIN PRIVATE KEY----- opens it.",
]


@pytest.mark.parametrize(
    ("kind", "text", "redacted"),
    [(kind, *example) for kind, examples in FOUND.items() for example in examples],
)
def test_what_is_found_is_replaced_and_counted(kind: str, text: str, redacted: str) -> None:
    edited = apply("Nothing here.", text)
    assert edited.texts.to_pylist() == ["Nothing here.", redacted]
    (change,) = edited.changes.to_pylist()
    assert (change["row"], change["kind"]) == (1, kind)
    assert change["count"] == redacted.count(f"[{kind.upper()}]")
    assert change["lines"] is None


@pytest.mark.parametrize("text", KEPT)
def test_what_only_looks_like_it_stays(text: str) -> None:
    edited = apply(text)
    assert edited.texts.to_pylist() == [text]
    assert edited.changes.num_rows == 0


def test_kinds_and_placeholders_are_configured() -> None:
    text = "a@b.com 8.8.8.8"
    assert apply(text, kinds=["ip"]).texts.to_pylist() == ["a@b.com [IP]"]
    put = {"email": "<e-mail>"}
    with pytest.raises(ValidationError, match="placeholder of email: allowed are 1 to 40 letters"):
        PersonalData.model_validate({"placeholders": put})
    put = {"email": "<an email>"}
    assert apply(text, placeholders=put).texts.to_pylist() == ["<an email> [IP]"]
    with pytest.raises(ValidationError, match="found no kind; name some of key, email"):
        PersonalData(kinds=())


_PIECES = st.sampled_from(
    [
        *"@.-:+() /,\n_'[]%0123456789aZ中é\u00a0\u202f\u2011",
        *(example for examples in FOUND.values() for example, _ in examples),
        *("8.8.8.8", "4111111111111111", "4111 1111 1111 1111", "+14155552671", "415-555-2671"),
        *("a@b.com", "eyJ", "AKIA", "-----", "BEGIN PRIVATE KEY", "2001:", "::1", "[EMAIL]"),
    ]
)
personal_text = st.lists(_PIECES, max_size=40).map("".join)


@given(st.one_of(personal_text, any_text, crafted_text))
def test_a_second_time_changes_nothing(text: str) -> None:
    once = apply(text).texts
    again = PersonalData().apply(pa.table({"text": once}))
    assert again.texts == once
    assert again.changes.num_rows == 0


@given(st.lists(personal_text, max_size=4))
def test_edited_bytes_add_up_and_a_batch_is_its_texts(texts: list[str]) -> None:
    edited = apply(*texts)
    sizes = [len(text.encode()) for text in texts]
    for change in edited.changes.to_pylist():
        sizes[change["row"]] += change["added"] - change["removed"]
    assert pc.binary_length(edited.texts).to_pylist() == sizes
    assert edited.texts.to_pylist() == [apply(text).texts[0].as_py() for text in texts]


@given(st.one_of(personal_text, any_text))
def test_what_is_left_alone_holds_nothing_that_a_finder_finds(text: str) -> None:
    """The quick pass over a batch misses no document."""
    if apply(text).changes.num_rows == 0:
        batch = TextBatch.of_text(text)
        assert [kind for kind, find in FINDERS.items() if find(batch)] == []


def test_random_digits_are_hardly_ever_a_card() -> None:
    """One number in ten has a right checksum; prefix, length and borders refuse nearly all."""
    rng = random.Random(7)
    numbers = ["".join(rng.choices("0123456789", k=rng.randint(20, 60))) for _ in range(3000)]
    assert apply(*numbers).changes.num_rows == 0
    sixteen = ["".join(rng.choices("0123456789", k=16)) for _ in range(3000)]
    assert apply(*sixteen, kinds=["card"]).changes.num_rows < 120


@pytest.mark.parametrize(
    "poison",
    [
        *("a@", "@", "a", "a.", "a@b.", "1", "1.", "1 ", "1-", "+1", "(4", "2001:", "4111 ", "eyJ"),
        *("eyJaaaaaaaa.", "-----BEGIN PRIVATE KEY-----", "sk-", "sk-a", "AKIA", "a%", "a-", "\n "),
        *("4111\u00a0", "1\u2011", "+1\u202f", "SG.a", "glpat-", "npm_a", "sk_live_"),
        *("-----BEGIN PRIVATE KEY-----\n" + "A" * 40, "ghp_a", "415-555-", "8.8.8.", "+1 (", "::"),
    ],
)
def test_two_megabytes_of_poison_end_soon(poison: str) -> None:
    text = poison * (2_000_000 // len(poison))
    begin = time.process_time()
    apply(text)
    assert time.process_time() - begin < 6  # quadratic would take hours


def test_personal_data_of_real_mail_is_found(shared_data: Path) -> None:
    """Counts over 794 documents that hold addresses and phones; the texts are not shown.

    "ab...@host" is an address that its publisher has masked: it gives nobody away and stays.
    """
    path = shared_data / "corpus" / "text" / "en_web_ewt.shared.parquet"
    documents = pq.read_table(path, columns=["text"])
    edited = PersonalData().apply(documents)
    found: dict[str, int] = {}
    for change in edited.changes.to_pylist():
        found[change["kind"]] = found.get(change["kind"], 0) + change["count"]
    plain = r"[A-Za-z0-9._%+-]*[A-Za-z0-9_%+-]@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"
    everywhere = pc.sum(pc.count_substring_regex(documents["text"], plain)).as_py()
    left = pc.sum(pc.count_substring_regex(edited.texts, plain)).as_py()
    assert left == 0, "e-mail addresses are left"
    assert found["email"] >= everywhere >= 50
    assert found["phone"] >= 90
