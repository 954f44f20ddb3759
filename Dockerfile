# syntax=docker/dockerfile:1
# The image: one static program, the certificates to trust, a list of what is in it, and nothing else. No shell, no libraries, no root.
#
#     docker build --tag genquota:0.1.0 --build-arg REVISION="$(git rev-parse --short=10 HEAD)" \
#         --build-arg SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)" .
#
# Every platform is built on itself (`--platform linux/amd64,linux/arm64`): what is built is for the machine that builds. What would make two builds differ
# comes from outside: dependencies from Cargo.lock, revision and dates from the arguments, the compiler from RUST_IMAGE, which may name a digest.
#
# The steps are run by tests/image, without an engine: directories that a step writes to are named by variables, and a step uses no other.
ARG RUST_IMAGE=rust:1.95-bookworm

FROM ${RUST_IMAGE} AS sbom-tool
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
ENV TOOL=/tool
ARG CYCLONEDX_VERSION=0.5.9
# It runs once, for half a second: not worth an optimised build.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    cargo install --quiet --locked --debug --root "$TOOL" "cargo-cyclonedx@$CYCLONEDX_VERSION"

FROM ${RUST_IMAGE} AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
ENV IMAGE=/image CARGO_TARGET_DIR=/target TOOL=/tool
# `dist` is what the image is for; another profile is quicker to build.
ARG PROFILE=dist
ARG REVISION=""
ARG SOURCE_DATE_EPOCH=0
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs LICENSE ./
COPY proto proto
COPY docs/rust-client.md docs/rust-client.md
COPY examples/catalogs examples/catalogs
COPY benches benches
COPY src src
# Static: glibc is linked in. The target is named, so that procedural macros, which are loaded by the compiler, stay as they are.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/target \
    host=$(rustc -vV | sed -n 's/^host: //p'); \
    GENQUOTA_BUILD_REVISION="$REVISION" RUSTFLAGS="-C target-feature=+crt-static" \
        cargo build --locked --bin genquota --profile "$PROFILE" --target "$host"; \
    case $PROFILE in dev) directory=debug ;; *) directory=$PROFILE ;; esac; \
    install -D "$CARGO_TARGET_DIR/$host/$directory/genquota" "$IMAGE/usr/bin/genquota"
COPY --from=sbom-tool /tool /tool
# What the program was linked from, as CycloneDX.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    "$TOOL/bin/cargo-cyclonedx" cyclonedx --quiet --format json --spec-version 1.5 --no-build-deps --override-filename genquota.cdx; \
    install -D --mode=644 genquota.cdx.json "$IMAGE/usr/share/sbom/genquota.cdx.json"
RUN install -D --mode=644 LICENSE "$IMAGE/usr/share/doc/genquota/LICENSE"; \
    install -D --mode=644 /etc/ssl/certs/ca-certificates.crt "$IMAGE/etc/ssl/certs/ca-certificates.crt"; \
    install -d "$IMAGE/var/lib/genquota"; \
    find "$IMAGE" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=""
LABEL org.opencontainers.image.title="genquota" \
      org.opencontainers.image.description="gRPC quota-enforcement sidecar for generative media" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /image/etc /etc
COPY --from=build /image/usr /usr
COPY --from=build --chown=65532:65532 /image/var /var
# The embedded store and the journal go to /var/lib/genquota unless the configuration says otherwise: mount a volume there.
ENV XDG_DATA_HOME=/var/lib
USER 65532:65532
EXPOSE 7070 7071 7072
ENTRYPOINT ["/usr/bin/genquota"]
CMD ["serve"]
