"""Tables that come with the package, and the scripts that make them from what was published."""
