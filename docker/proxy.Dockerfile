# Toxiproxy's server alone, built from source: a static binary on nothing. GO is any image with Go.
ARG GO=golang:1.25
FROM ${GO} AS build
ENV CGO_ENABLED=0 GOBIN=/built
RUN ["go", "install", "github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0"]
FROM scratch
COPY --from=build /built/server /toxiproxy-server
EXPOSE 8474
ENTRYPOINT ["/toxiproxy-server"]
CMD ["-host=0.0.0.0"]
