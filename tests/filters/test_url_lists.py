import gzip
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.errors import FilterError
from filters.url_lists import UrlList


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> UrlList:
    folder = tmp_path_factory.mktemp("lists")
    for category in ("adult", "press"):
        (folder / category).mkdir()
    (folder / "adult/domains").write_text(
        "# a comment\nBad.example\n\nwww.worse.org\nb\xfccher.de\n"
    )
    (folder / "press/urls.gz").write_bytes(
        gzip.compress(b"http://news.org/a/\nblog.org/x?id=1\ncaf\xe9.org/y\n")
    )
    names = ("adult/domains", "press/urls.gz")
    return UrlList.read({name: folder / name for name in names})


@pytest.mark.parametrize(
    ("url", "host", "address"),
    [
        ("https://bad.example/", "adult/domains", ""),
        ("http://user@a.b.BAD.example.:80/x?y", "adult/domains", ""),
        ("bad.example", "adult/domains", ""),
        ("https://xn--bcher-kva.de/x", "adult/domains", ""),
        ("https://worse.org", "adult/domains", ""),
        ("https://notbad.example/", "", ""),
        ("https://example/", "", ""),
        ("https://good.org/bad.example", "", ""),
        ("https://www.news.org/a", "", "press/urls.gz"),
        ("https://news.org/a/b?c", "", "press/urls.gz"),
        ("https://NEWS.org/a#top", "", "press/urls.gz"),
        ("https://news.org/ab", "", ""),
        ("https://sub.news.org/a", "", ""),
        ("https://blog.org/x?id=1&page=2", "", "press/urls.gz"),
        ("https://blog.org/x?id=12", "", ""),
        ("https://café.org/y", "", "press/urls.gz"),
        (None, "", ""),
        ("http://[broken", "", ""),
    ],
)
def test_hosts_and_addresses_are_found_by_whole_parts(
    lists: UrlList, url: str | None, host: str, address: str
) -> None:
    assert lists.blocked_host(url) == host
    assert lists.blocked_url(url) == address


def test_features_name_the_list(lists: UrlList) -> None:
    found = lists.features(pa.array(["https://bad.example", "https://news.org/a", None]))
    assert found["url_domain_listed"].to_pylist() == [1, 0, 0]
    assert found["url_listed"].to_pylist() == [0, 1, 0]
    assert found["listed_in"].to_pylist() == ["adult/domains", "press/urls.gz", ""]


def test_a_file_of_another_name_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FilterError, match=r"'adult/expressions'.*domains, urls"):
        UrlList.read({"adult/expressions": tmp_path})


@given(st.text(max_size=40))
def test_any_url_gets_an_answer(lists: UrlList, url: str) -> None:
    assert lists.blocked_host(url) in ("", "adult/domains")
    assert lists.blocked_url(f"https://{url}") in ("", "press/urls.gz")
