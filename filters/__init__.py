"""What makes a document worth reading: rules over text statistics, computed once."""

from filters.rules import RuleSet

__all__ = ["RuleSet"]
