"""MLflow as a mirror of the journals: incremental, repeatable, never the reason a run fails."""
