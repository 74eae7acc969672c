"""Several runs in a row, and what they say together. One file each; none is imported here.

nightly    each system of the night, and what the whole night left unproven
rounds     one system again and again
ablation   one system with each of its measures taken out, and with each alone
"""
