# The services of the reference stack. Its sources are in the image: what ran is what the image's tag says.
ARG BASE
FROM ${BASE}
COPY telhawk /opt/packages/telhawk
# Compiled once, and not by each of its containers.
RUN ["python3", "-m", "compileall", "-q", "/opt/packages/telhawk"]
ENV HOST=0.0.0.0
