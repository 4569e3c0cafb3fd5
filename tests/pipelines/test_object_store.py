"""A bucket that misbehaves, refuses or is not there: never a wrong answer, always a sentence."""

from collections.abc import Iterator

import pytest

from pipelines import storage
from pipelines.errors import StoreError
from pipelines.probe import probe

pytestmark = pytest.mark.usefixtures("s3_account")


@pytest.fixture
def _fresh_clients() -> Iterator[None]:
    """Forget clients made for another environment, before and after."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    yield
    s3fs.S3FileSystem.clear_instance_cache()


def test_a_server_that_ignores_the_condition_is_found_out_at_the_first_create() -> None:
    root = storage.store_root("s3://careless/a")
    with pytest.raises(StoreError, match=r"ignores `If-None-Match: \*`.*a store on a disk"):
        storage.put_if_absent(root / "manifest.json", b"x")
    assert storage.children(root) == []
    failed = [check for check in probe(root) if not check.ok]
    assert "ignores `If-None-Match" in failed[0].found


def test_a_create_whose_answer_was_lost_knows_its_own_object() -> None:
    root = storage.store_root("s3://forgetful/a")
    assert storage.put_if_absent(root / "lease", b"mine") is True
    assert storage.put_if_absent(root / "lease", b"mine") is False


def test_a_conflict_is_tried_again() -> None:
    root = storage.store_root("s3://contended/a")
    assert storage.put_if_absent(root / "one", b"1") is True
    assert storage.put_if_absent(root / "one", b"2") is False


def test_a_server_that_names_no_condition_is_understood() -> None:
    root = storage.store_root("s3://terse/a")
    assert storage.put_if_absent(root / "one", b"1") is True
    assert storage.put_if_absent(root / "one", b"2") is False


def test_an_upload_that_fails_leaves_nothing_and_says_so() -> None:
    root = storage.store_root("s3://broken/a")
    with pytest.raises(StoreError, match="cannot use s3://broken/a/part"):
        storage.write_bytes(root / "part", b"x" * 1000)
    assert storage.children(root) == []


def test_a_missing_bucket_is_named() -> None:
    with pytest.raises(
        StoreError, match=r"no bucket 'nowhere-at-all'. Create it.*AWS_ENDPOINT_URL"
    ):
        storage.store_root("s3://nowhere-at-all/a")


def test_refused_access_says_which_rights_are_needed() -> None:
    root = storage.store_root("s3://forbidden/a")
    with pytest.raises(StoreError, match=r"refused access to s3://forbidden/a/x.*s3:PutObject"):
        storage.put_if_absent(root / "x", b"1")
    with pytest.raises(StoreError, match="refused access"):
        storage.read_all([root / "x"])
    with pytest.raises(StoreError, match="refused access"):
        storage.sizes(root, ["x"])


@pytest.mark.usefixtures("_fresh_clients")
def test_no_credentials_names_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StoreError, match=r"no usable credentials.*Set AWS_ACCESS_KEY_ID"):
        storage.store_root("s3://store/a")


@pytest.mark.usefixtures("_fresh_clients")
def test_a_server_that_is_away_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://me:hunter2@127.0.0.1:9")
    with pytest.raises(StoreError, match=r"cannot reach http://127.0.0.1:9 for") as caught:
        storage.store_root("s3://store/a")
    assert "hunter2" not in str(caught.value)
    assert "run the same command again" in str(caught.value)


@pytest.mark.parametrize("uri", ["s3://AKIA123:hunter2@store/a", "s3://hunter2@store"])
def test_credentials_in_the_address_are_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(StoreError, match="found credentials in the address") as caught:
        storage.store_root(uri)
    assert "hunter2" not in str(caught.value)
    assert "AKIA" not in str(caught.value)


@pytest.mark.parametrize(
    "uri", ["s3://", "s3://B", "s3://store/../other", "s3://store/a*", "s3://store/a?x=hunter2"]
)
def test_a_malformed_address_says_what_is_allowed(uri: str) -> None:
    with pytest.raises(StoreError, match="allowed is s3://bucket/prefix") as caught:
        storage.store_root(uri)
    assert "hunter2" not in str(caught.value)


def test_other_object_stores_are_refused_with_the_reason() -> None:
    with pytest.raises(StoreError, match=r"'gs://'.*a create that fails where the name exists"):
        storage.store_root("gs://bucket/a")


def test_a_store_may_be_a_whole_bucket() -> None:
    root = storage.store_root("s3://store")
    storage.write_bytes(root / "whole-bucket-test", b"x")
    assert "whole-bucket-test" in storage.children(root)
    assert str(root / "clean") == "s3://store/clean"
