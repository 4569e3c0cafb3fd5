import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.permissions import licence_allowed, licences, robots, short


def documents(*metadata: object) -> pa.Table:
    texts = [m if isinstance(m, str | None) else json.dumps(m) for m in metadata]
    return pa.table({"metadata": pa.array(texts, pa.string())})


def test_licences_are_read_from_metadata_or_a_column() -> None:
    found = documents(
        {"license": "CC-BY-4.0"},
        {"Licence": ["MIT", "Apache-2.0"]},
        {"headers": {"X-License": "PSF"}},
        {"license": None, "rights": "all reserved"},
        {"about": "licence"},
        "no json, license",
        None,
    )
    expected = ["cc-by-4.0", "mit, apache-2.0", "psf", "all reserved", "", "", ""]
    assert licences(found) == expected
    column = pa.table({"License": ["MIT", None], "metadata": ['{"license": "x"}', None]})
    assert licences(column) == ["mit", ""]
    assert licences(pa.table({"text": ["a"]})) == [""]


@pytest.mark.parametrize(
    ("licence", "allowed", "denied", "answer"),
    [
        ("cc-by-4.0", ["CC-BY-*"], [], True),
        ("cc-by-nc-4.0", ["cc-by-*"], ["*-nc-*"], False),
        ("gpl-3.0", ["cc-by-*"], [], False),
        ("gpl-3.0", [], ["*-nc-*"], True),
        ("https://creativecommons.org/licenses/by-nc/4.0/", [], ["*-nc-*"], False),
        ("https://creativecommons.org/licenses/by-nc/4.0/", ["cc-by-*"], [], True),
        ("cc by-nc 4.0", [], ["*-nc-*"], False),
        ("cc by 4.0", ["cc-by-4.0"], ["*-nc-*"], True),
        ("", ["cc-by-*"], [], None),
    ],
)
def test_patterns_decide_and_denial_wins(
    licence: str, allowed: list[str], denied: list[str], answer: bool | None
) -> None:
    assert licence_allowed(licence, allowed, denied) is answer


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("http://creativecommons.org/licenses/by-nc-sa/3.0/deed.de", "cc-by-nc-sa-3.0"),
        ("//www.creativecommons.org/licenses/by/2.5", "cc-by-2.5"),
        ("https://creativecommons.org/licenses/by-nc-nd", "cc-by-nc-nd"),
        ("https://creativecommons.org/publicdomain/zero/1.0/legalcode", "cc0-1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "pdm-1.0"),
        (
            "mit, https://creativecommons.org/licenses/by-nc/4.0/, cc by 4.0",
            "mit, cc-by-nc-4.0, cc-by-4.0",
        ),
        ("https://example.org/licenses/by-nc/4.0/", "https://example.org/licenses/by-nc/4.0/"),
        ("all rights reserved", "all-rights-reserved"),
    ],
)
def test_a_licence_has_one_short_name(written: str, name: str) -> None:
    assert short(written) == name


def test_directives_of_headers_and_meta_tags() -> None:
    found = robots(
        documents(
            {"robots": "NoAI, noimageai"},
            {"headers": {"X-Robots-Tag": ["googlebot: noindex", "otherbot: nofollow"]}},
            {"robots": "none, unavailable_after: 25 Jun 2030"},
            {"robots": "index,,follow"},
            {"robots": "all", "headers": {"x-robots-tag": "noai"}},
            None,
        )
    )
    assert found == [
        {"noai", "noimageai"},
        {"noindex", "nofollow"},
        {"noindex", "nofollow", "none", "unavailable_after"},
        {"index", "follow"},
        {"all", "noai"},
        set(),
    ]


@given(
    st.text(max_size=30),
    st.recursive(
        st.none() | st.text(max_size=9) | st.integers(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    ),
)
def test_any_metadata_gets_an_answer(text: str, value: object) -> None:
    table = documents(text, {"license": value, "robots": value}, [value, "license", "robots"])
    assert len(licences(table)) == len(robots(table)) == 3
