# docker build -t dougdb/doug:0.1.0 .
#
# One program and the shared libraries that `ldd` names, nothing else: no shell,
# no package manager. glibc rather than a static musl build: its allocator is
# several times as fast when many threads allocate.
FROM rust:1.90-bookworm AS build
WORKDIR /source
COPY . .
RUN cargo build --profile dist --locked -p doug --features kubernetes \
 && mkdir -p /image/tmp /image/etc \
 && chmod 1777 /image/tmp \
 && cp target/dist/doug /image/doug \
 && ldd /image/doug | grep -o '/[^ ]*' | xargs -I{} cp --parents -L {} /image \
 && echo 'nonroot:x:65532:65532::/:/sbin/nologin' > /image/etc/passwd \
 && echo 'nonroot:x:65532:' > /image/etc/group

FROM scratch
COPY --from=build /image /
USER 65532:65532
EXPOSE 7400 7401 7402 7403
ENTRYPOINT ["/doug"]
