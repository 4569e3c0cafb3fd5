"""The steps of deduplication; the stage itself is pipelines/deduplicate.py."""
