# Toxiproxy's server, a static binary, on nothing.
FROM scratch
COPY toxiproxy-server /toxiproxy-server
EXPOSE 8474
ENTRYPOINT ["/toxiproxy-server"]
CMD ["-host=0.0.0.0"]
