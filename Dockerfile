FROM node:20-bookworm-slim AS pages
WORKDIR /build/frontend
COPY frontend/package.json frontend/package-lock.json frontend/.npmrc ./
RUN --mount=type=cache,target=/tmp/npm npm ci --cache /tmp/npm
COPY frontend ./
# The types of the pages are made from it.
COPY docs/openapi.json /build/docs/
RUN npm run build

FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
# The target folder is a cache that the image does not keep, so the binary is copied out of it.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked && cp target/release/iaqverse /usr/local/bin/iaqverse

FROM debian:bookworm-slim AS nginx
# Debian keeps this version and its security fixes; a pinned revision would vanish with the next one.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends nginx \
    && rm -rf /var/lib/apt/lists/*
COPY nginx.conf /etc/iaqverse/nginx.conf
COPY deploy /etc/iaqverse/deploy
COPY --from=pages /build/frontend/dist /usr/share/nginx/html
RUN sed -i -e 's|server 127.0.0.1:8081;|server server:8080;|' \
        -e 's|root frontend/dist;|root /usr/share/nginx/html;|' /etc/iaqverse/nginx.conf \
    && grep -q 'server server:8080;' /etc/iaqverse/nginx.conf \
    && grep -q 'root /usr/share/nginx/html;' /etc/iaqverse/nginx.conf
# www-data, by its number so that whoever runs this can tell that it is not root.
USER 33:33
EXPOSE 8080
# Answers to running requests are finished on this signal.
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=10s --timeout=3s CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080"]
# /tmp is all that nginx writes to, so the rest can be read-only.
CMD ["nginx", "-p", "/tmp", "-c", "/etc/iaqverse/nginx.conf", "-e", "stderr", "-g", "daemon off;"]

# All that the server's image has: the program, the libraries it is linked with, certificates to know a
# Postgres by, and two files that names are resolved by. There is no shell and nothing else to run.
FROM debian:bookworm-slim AS root
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /usr/local/bin/iaqverse /usr/local/bin/iaqverse
WORKDIR /image
# Where ldd fails there is nothing to copy, and then cp fails.
# hadolint ignore=DL4006
RUN install -D -t usr/local/bin /usr/local/bin/iaqverse \
    && ldd /usr/local/bin/iaqverse | grep -o '/[^ ]*' | xargs cp --parents -L -t . \
    && install -D -m 644 -t etc/ssl/certs /etc/ssl/certs/ca-certificates.crt \
    && echo 'iaqverse:x:10001:10001::/data:/nonexistent' >etc/passwd \
    && echo 'hosts: files dns' >etc/nsswitch.conf \
    && install -d -m 700 -o 10001 -g 10001 data \
    && install -d -m 1777 tmp

FROM scratch AS server
COPY --from=root /image /
ENV DATABASE_URL=sqlite:///data/iaqverse.db IAQ_LOG_FORMAT=json
WORKDIR /data
VOLUME /data
USER 10001:10001
# Listens on the container's loopback until IAQ_BIND says otherwise; see docker-compose.yml.
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/usr/local/bin/iaqverse", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/iaqverse"]
CMD ["serve"]
