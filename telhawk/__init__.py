"""A Python model of the TelHawk stack: faithful on the wire, and switchable from documented to hardened.

Four services, each `python -m telhawk.<name>`: web, search, authenticate, eventstore. TELHAWK_HARDENING names the
measures that are on (`telhawk.settings`), each one module of `telhawk.measures`. Without any of them, what is left is
the stack as its analysis found it.
"""
