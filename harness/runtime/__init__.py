"""Where a system runs: nodes, links between them through proxies of their own, and a journal that undoes it all."""
