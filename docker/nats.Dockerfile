# nats-server on an image that can also ask it how it is. NATS's own image is FROM scratch: in it, no health check can run
# but one of nats-server itself, which has none. BASE is the image of the services too, so its layers are there anyway.
ARG NATS=nats:2.12.8
ARG BASE=python:3.11-slim
FROM ${NATS} AS nats
FROM ${BASE}
COPY --from=nats /nats-server /usr/local/bin/nats-server
EXPOSE 4222 8222
ENTRYPOINT ["/usr/local/bin/nats-server"]
