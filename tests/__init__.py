"""A regular package, so that no installed distribution with a package called `tests` can stand in its place."""
