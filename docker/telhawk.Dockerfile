# The services of telhawk, all in one image. BASE is any image with Python 3.11 or newer.
ARG BASE=python:3.11-slim
FROM ${BASE}
# A base that has the packages already needs no package index. No shell is used, for a base may have none.
RUN ["python3", "-c", "import importlib.util, subprocess, sys\nif not all(map(importlib.util.find_spec, ('aiohttp', 'nats', 'stamina'))):\n    subprocess.check_call([sys.executable, '-m', 'pip', 'install', '--no-cache-dir', 'aiohttp>=3.14', 'nats-py[nkeys]>=2.16', 'stamina>=26.1'])"]
COPY telhawk /opt/telhawk/telhawk
ENV PYTHONPATH=/opt/telhawk:${PYTHONPATH} PYTHONUNBUFFERED=1 HOST=0.0.0.0
