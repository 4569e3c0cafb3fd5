"""WARC and WET: pages become documents, everything else is counted, and a cut changes nothing."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
