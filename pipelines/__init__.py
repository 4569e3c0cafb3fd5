"""Ray Data jobs, one public verb a file: each turns input artifacts into shards and a ledger."""
