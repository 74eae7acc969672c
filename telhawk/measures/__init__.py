"""The measures, one module each, imported only where its switch is on. Without them the documented stack is left."""
