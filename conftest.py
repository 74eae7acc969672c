"""Everything that pytest needs here is the plugin of the package itself; its settings are in pyproject.toml."""
