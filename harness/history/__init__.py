"""What happened: written by the harness alone, and the only thing that a guarantee may look at."""
