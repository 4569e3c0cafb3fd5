"""WARC and WET: pages become documents, everything else is counted, and a cut changes nothing."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.permissions import robots
from pipelines.errors import InputError
from pipelines.reading.records import Document
from tests.support.reading import (
    broken,
    listed,
    read_file,
    read_split,
    response,
    rules,
    texts,
    warc_gz,
    warc_record,
)

PAGE = (
    b"<html lang='en'><head><title>Tides</title></head><body><nav><a href='/'>Home</a></nav><main>"
    b"<p>The lighthouse keeper wrote the weather down every evening.</p>"
    b"<p>In the morning the ships came back with the tide.</p></main></body></html>"
)
LONG = PAGE.replace(b"</main>", b"<p>%s</p></main>" % b" and ".join(b"%d" % n for n in range(900)))
PROSE = "The lighthouse keeper wrote the weather down every evening."


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_a_page_becomes_a_document_with_what_its_surroundings_say(tmp_path: Path) -> None:
    headers = ("Content-Type: text/html; charset=utf-8", "X-Robots-Tag: noai")
    record = response(PAGE, *headers, X_License="CC-BY-4.0", X_Language="en")
    (found,) = read_file(write(tmp_path, "a.warc.gz", warc_gz([record])))
    assert isinstance(found, Document)
    assert PROSE in found.text
    assert "Home" not in found.text
    assert found.url == "https://example.org/page"
    metadata = json.loads(found.metadata or "")
    assert metadata["title"] == "Tides"
    assert metadata["robots"] == "noai"
    assert metadata["license"] == "CC-BY-4.0"
    assert metadata["declared_language"] == "en"
    assert metadata["warc_date"] == "2024-05-18T01:58:10Z"


@pytest.mark.parametrize(
    ("body", "cut"),
    [
        (gzip.compress(LONG), None),
        (gzip.compress(LONG)[:-9], "gzip"),
        (gzip.compress(LONG)[:-4], "gzip"),
        (gzip.compress(LONG[:3000]) + gzip.compress(LONG[3000:]), None),
        (gzip.compress(LONG[:3000]) + gzip.compress(LONG[3000:])[:-9], "gzip"),
        (LONG, None),
    ],
)
def test_a_body_whose_compression_ends_early_is_kept_and_says_so(
    tmp_path: Path, body: bytes, cut: str | None
) -> None:
    record = response(body, "Content-Type: text/html", "Content-Encoding: gzip")
    (found,) = read_file(write(tmp_path, "a.warc.gz", warc_gz([record])))
    assert isinstance(found, Document)
    assert PROSE in found.text
    assert json.loads(found.metadata or "").get("cut_short") == cut


def test_every_other_record_is_counted_under_what_it_is(tmp_path: Path) -> None:
    records = [
        warc_record("warcinfo", b"software: x\r\n", "application/warc-fields"),
        warc_record("request", b"GET / HTTP/1.1\r\n\r\n", "application/http; msgtype=request"),
        warc_record("metadata", b"a: b\r\n", "application/warc-fields"),
        warc_record("revisit", b"HTTP/1.1 200 OK\r\n\r\n", "application/http; msgtype=response"),
        response(b"%PDF-1.4", "Content-Type: application/pdf"),
        response(PAGE, "Content-Type: text/html", status="404 Not Found"),
        warc_record("response", b"example.org. 300 A 192.0.2.1", "text/dns"),
        response(PAGE),
        warc_record("conversion", b"Ein Text.", "text/plain"),
        warc_record("novelty", b"?", "text/plain"),
    ]
    found = read_file(write(tmp_path, "a.warc.gz", warc_gz(records)))
    assert rules(found) == [
        "warc_warcinfo", "warc_request", "warc_metadata", "warc_revisit", "not_html",
        "http_status", "not_http", "", "", "warc_unknown",
    ]  # fmt: skip
    status = broken(found[5])
    assert (status.feature, status.value, status.limit) == ("http_status", 404.0, 200.0)
    assert texts(found)[1] == "Ein Text."


def test_a_truncated_file_stops_or_keeps_what_is_readable(tmp_path: Path) -> None:
    content = warc_gz([response(PAGE), response(PAGE)])
    path = write(tmp_path, "a.warc.gz", content[:-30])
    with pytest.raises(InputError, match=r"(?s)a\.warc\.gz: the file is broken: .*set_aside"):
        read_file(path)
    found = read_file(path, broken_files="set_aside")
    assert rules(found) == ["", "broken_file"]
    assert PROSE in texts(found)[0]


def test_damage_in_the_middle_costs_one_member(tmp_path: Path) -> None:
    pages = [response(PAGE.replace(b"Tides", b"%d" % at)) for at in range(2000)]
    members = [gzip.compress(page, mtime=0) for page in pages]
    hurt = bytearray(members[3])
    hurt[40:60] = b"x" * 20
    members[3] = bytes(hurt)
    path = write(tmp_path, "a.warc.gz", b"".join(members))
    found = read_file(path, broken_files="set_aside")
    assert Counter(rules(found)) == {"": 1999, "broken_file": 1}


@pytest.mark.parametrize(
    ("charset", "header", "text"),
    [
        ("utf-8", "iso-8859-1", "Käse für 3 €"),  # declared wrongly: the bytes are UTF-8
        ("windows-1252", "utf-8", "Käse für viele schöne Gäste kostet 3 €"),
        ("shift_jis", "shift_jis", "灯台守は毎晩、天気を書き留めた。"),
        ("windows-1251", "windows-1251", "Смотритель маяка каждый вечер записывал погоду."),
        ("utf-16", "utf-8", "A byte order mark wins over every header."),
    ],
)
def test_a_misdeclared_charset_is_seen_through(
    tmp_path: Path, charset: str, header: str, text: str
) -> None:
    body = f"<html><body><main><p>{text}</p><p>{text}</p></main></body></html>".encode(charset)
    record = response(body, f"Content-Type: text/html; charset={header}")
    (found,) = read_file(write(tmp_path, "a.warc.gz", warc_gz([record])))
    assert isinstance(found, Document), found
    assert text in found.text


def test_a_bomb_a_body_too_long_and_bytes_of_no_text_are_rejects(tmp_path: Path) -> None:
    bomb = response(gzip.compress(b"a" * 5_000_000), "Content-Type: text/html",
                    "Content-Encoding: gzip")  # fmt: skip
    long = response(b"<html><body><p>" + b"a " * 600_000, "Content-Type: text/html")
    noise = response(bytes(range(128, 256)) * 20, "Content-Type: text/html; charset=utf-8")
    found = read_file(
        write(tmp_path, "a.warc.gz", warc_gz([bomb, long, noise, response(PAGE)])),
        most_bytes=1_000_000,
    )
    assert "longer than 1,000,000 bytes" in broken(found[0]).error
    assert "longer than 1,000,000 bytes" in broken(found[1]).error
    assert "cannot be read as" in broken(found[2]).error or "not UTF-8" in broken(found[2]).error
    assert isinstance(found[3], Document)


def test_a_page_of_nul_bytes_or_nothing_is_told(tmp_path: Path) -> None:
    records = [response(b""), response(b"<html><body><p>a\0b</p></body></html>")]
    found = read_file(write(tmp_path, "a.warc.gz", warc_gz(records)))
    assert len(found) == 2
    assert all("\0" not in record.text for record in found)


def test_an_empty_compressed_file_is_damage(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least a header"):
        read_file(write(tmp_path, "a.warc.gz", b""))


def test_a_page_built_to_take_minutes_is_refused(tmp_path: Path) -> None:
    deep = response(b"<html>" + b"<div>" * 50_000 + b"x")
    wide = response(b"<html><p " + b"a=1 " * 200_000 + b">x")
    found = read_file(write(tmp_path, "a.warc.gz", warc_gz([deep, wide])))
    assert "elements within each other" in broken(found[0]).error
    assert "an element of over 5,000 attributes" in broken(found[1]).error


@pytest.mark.parametrize(
    "head",
    [
        b"<style>/*<![CDATA[*/" + b".a { border: none !important } " * 3000 + b"/*]]>*/</style>",
        b'<img alt="' + b"a word of a description " * 3000 + b'">',
        b"<a name=x>an anchor " * 3000,
    ],
    ids=["cdata", "a long attribute", "anchors without an end"],
)
def test_a_page_that_only_looks_too_complex_is_read(tmp_path: Path, head: bytes) -> None:
    (found,) = read_file(write(tmp_path, "a.warc.gz", warc_gz([response(head + PAGE)])))
    assert PROSE in texts([found])[0]


def test_what_header_and_page_forbid_robots_adds_up(tmp_path: Path) -> None:
    body = PAGE.replace(
        b"<body>", b"<meta name=robots content=noindex><meta name=ROBOTS content=noai><body>"
    )
    head = ("Content-Type: text/html", "X-Robots-Tag: noarchive", "x-robots-tag: nofollow")
    (found,) = read_file(write(tmp_path, "a.warc.gz", warc_gz([response(body, *head)])))
    assert isinstance(found, Document)
    table = pa.table({"metadata": [found.metadata]})
    assert robots(table) == [{"noarchive", "nofollow", "noindex", "noai"}]


@settings(max_examples=25)
@given(st.integers(1, 4000), st.booleans(), st.integers(1, 12))
def test_a_cut_file_gives_the_same_records(
    tmp_path_factory: pytest.TempPathFactory, unit: int, compressed: bool, pages: int
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    records = [response(PAGE.replace(b"Tides", b"%d" % at)) for at in range(pages)]
    if compressed:
        path = write(folder, "a.warc.gz", warc_gz(records))
    else:
        path = write(folder, "a.warc", b"".join(records))
    assert read_split(path, unit) == read_file(path)


CRAWL = [
    warc_record("request", b"GET / HTTP/1.1\r\n\r\n", "application/http; msgtype=request"),
    response(PAGE),
    response(warc_gz([response(PAGE), response(PAGE)]), "Content-Type: application/gzip"),
    warc_record("conversion", b"Ein Text", "text/plain"),
    response(gzip.compress(PAGE, mtime=0), "Content-Type: text/html", "Content-Encoding: gzip"),
]


@settings(max_examples=60)
@given(
    st.booleans(),
    st.lists(st.tuples(st.integers(0), st.sampled_from(["flip", "cut", "add"])), max_size=4),
    st.integers(1, 3000),
)
def test_a_damaged_file_gives_the_same_records_and_rejects_however_it_is_cut(
    tmp_path_factory: pytest.TempPathFactory,
    compressed: bool, damages: list[tuple[int, str]], unit: int,
) -> None:  # fmt: skip
    content = bytearray(warc_gz(CRAWL) if compressed else b"".join(CRAWL))
    for place, kind in damages:
        at = place % len(content)
        if kind == "flip":
            content[at] ^= 0x55
        elif kind == "cut":
            del content[at : at + 7]
        else:
            content[at:at] = b"\0\x1f\x8b\x08\0"
    folder = tmp_path_factory.mktemp("cut")
    path = write(folder, "a.warc.gz" if compressed else "a.warc", bytes(content))
    whole = read_file(path, broken_files="set_aside")
    assert read_split(path, unit, broken_files="set_aside") == whole
    assert len({record.doc_id for record in whole}) == len(whole)


def test_a_damaged_beginning_between_two_portions_is_told(tmp_path: Path) -> None:
    members = [gzip.compress(record, mtime=0) for record in (response(PAGE),) * 3]
    seam = len(members[0])
    hurt = bytearray(members[1])
    hurt[12:40] = b"x" * 28
    path = write(tmp_path, "a.warc.gz", members[0] + bytes(hurt) + members[2])
    found = read_split(path, seam, broken_files="set_aside")
    assert rules(found) == ["", "broken_file", ""]
    assert broken(found[1]).position == f"{seam} damaged"


def test_real_crawls_are_read_whole_and_the_same_in_parts(shared_data: Path) -> None:
    folder = shared_data / "corpus" / "warc"
    path = folder / "commoncrawl_whirlwind.warc.gz"
    found = read_file(path)
    assert rules(found).count("") >= 1
    assert set(rules(found)) <= {"", "warc_warcinfo", "warc_request", "warc_metadata", "not_html"}
    debian = folder / "debian_docs-00000.warc.gz"
    whole = read_file(debian)
    kept = [record for record in whole if isinstance(record, Document)]
    assert len(kept) >= 900
    assert all("license" in json.loads(record.metadata or "{}") for record in kept)
    assert read_split(debian, listed(debian).bytes // 5) == whole
    wet = read_file(folder / "commoncrawl_whirlwind.warc.wet.gz")
    assert len(texts(wet)) >= 1
