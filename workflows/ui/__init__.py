"""The lineage page: what the manifests and journals of a store say, for people who look."""
