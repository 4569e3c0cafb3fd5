"""First step: exact hash, band hashes and length of each document, kept, and spilled by hash."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines import storage
from pipelines.dedup import spill
from pipelines.dedup.layout import Job, addresses
from pipelines.ledger import Ledger
from pipelines.shards import ShardFiles, ShardRecord, read_table

Hashes = npt.NDArray[np.uint64]


def sketch(job: Job, shard: str, number: int) -> ShardRecord:
    """Compute or find the hashes of a unit's documents and route them to partitions."""
    from filters.dedup.exact import halves, id_keys

    table = _known(job, number)
    reused = table is not None
    if table is None:
        table = _computed(job, number)
    rows = table.num_rows
    exact, key = halves(table["exact"]), id_keys(table["doc_id"])
    hashes = exact[:, :1]
    if job.config.method == "minhash":
        bands = table["bands"].combine_chunks().flatten().to_numpy()
        bands = bands.reshape(rows, table["bands"].type.list_size)
        hashes = np.concatenate([hashes, bands], axis=1)
    sent = np.ones(hashes.shape, dtype=np.bool_)
    sent[_copies(exact, key), 1:] = False  # of copies in a unit one looks for near copies
    row, column = np.nonzero(sent)
    flat = hashes[row, column]
    columns = {
        "hash": flat,
        "tag": exact[row, 1],
        "address": addresses(number, rows)[row],
        "length": table["text_bytes"].to_numpy()[row],
        "key": key[row],
        "exact": column == 0,
    }
    parts = (flat % np.uint64(job.layout.partitions)).astype(np.int64)
    entries = [spill.write(job, shard, "sketches", columns, parts)]
    if number < job.layout.own:
        files = ShardFiles(job.root, job.layout.units[number].shard, job.attempt)
        files.write_parquet(table, "features")
        entries += files.entries
    metrics = {"sketches_reused": float(rows) if reused else 0.0}
    return ShardRecord(shard=shard, files=tuple(entries), ledger=Ledger(), metrics=metrics)


def _copies(exact: Hashes, key: Hashes) -> npt.NDArray[np.intp]:
    """Return the rows whose text another row of the unit has that comes before it by its key."""
    order = np.lexsort((key, exact[:, 1], exact[:, 0]))
    again = (exact[order][1:] == exact[order][:-1]).all(axis=1)
    copies: npt.NDArray[np.intp] = order[1:][again]
    return copies


def _known(job: Job, number: int) -> pa.Table | None:
    """Return stored hashes of a unit's documents, None where there are not those of all."""
    path = job.layout.features[number]
    if path is None:
        return None
    wanted = {"doc_id", "exact"} | ({"bands"} if job.config.method == "minhash" else set())
    with storage.at(path).open("rb") as handle:
        there = set(pq.read_schema(handle).names)
    if not wanted <= there:
        return None
    has_size = "text_bytes" in there
    stored = read_table(path, sorted(wanted | ({"text_bytes"} & there)))
    columns = ["doc_id"] if has_size else ["doc_id", "text"]
    documents = read_table(job.layout.units[number].path, columns)
    if pc.count_distinct(stored["doc_id"]).as_py() != stored.num_rows:
        return None  # ids that stand twice do not say which hashes are whose
    at = pc.index_in(documents["doc_id"], stored["doc_id"].combine_chunks())
    if at.null_count:
        return None
    found = stored.select(sorted(wanted)).take(at)
    sizes = stored["text_bytes"].take(at) if has_size else pc.binary_length(documents["text"])
    return found.append_column("text_bytes", sizes.cast(pa.int64()))


def _computed(job: Job, number: int) -> pa.Table:
    from filters.dedup import exact_keys, signature_columns

    documents = read_table(job.layout.units[number].path, ["doc_id", "text"])
    if job.config.method == "minhash":
        table = signature_columns(documents["text"], job.config.minhash())
    else:
        table = pa.table({"exact": exact_keys(documents["text"])})
    table = table.append_column("text_bytes", pc.binary_length(documents["text"]).cast(pa.int64()))
    return table.add_column(0, "doc_id", documents["doc_id"])
