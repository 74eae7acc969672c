# Where the links' proxies run. The harness' package comes as a mount: the agent is always of the version that asks it.
ARG TOXIPROXY
ARG BASE
FROM ${TOXIPROXY} AS toxiproxy
FROM ${BASE}
COPY --from=toxiproxy /toxiproxy-server /toxiproxy-server
