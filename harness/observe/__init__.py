"""Observers: small readers that never cross a proxy and write what they see. One file each; none is imported here."""
