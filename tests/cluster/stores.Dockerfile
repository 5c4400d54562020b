# The servers of k8s/stores as images built from Debian's packages, for clusters that no registry reaches.
FROM debian:bookworm-slim AS redis
RUN apt-get update \
    && apt-get install -y --no-install-recommends redis-server \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /tmp
ENTRYPOINT ["redis-server"]

FROM debian:bookworm-slim AS postgres
# Unpacked, and not installed: postgresql-common makes certificates in a folder that a build may have read-only.
RUN useradd --uid 999 --user-group --home-dir /var/lib/postgresql postgres \
    && apt-get update \
    && apt-get install -y --no-install-recommends libgssapi-krb5-2 libicu72 libldap-2.5-0 liblz4-1 libpam0g libpq5 libreadline8 \
        libssl3 libsystemd0 libuuid1 libxml2 libxslt1.1 libzstd1 tzdata \
    && cd /tmp && apt-get download postgresql-15 postgresql-client-15 \
    && for package in *.deb; do dpkg -x "$package" / && rm "$package"; done \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o postgres -g postgres /var/run/postgresql
ENV PATH=/usr/lib/postgresql/15/bin:$PATH
COPY tests/cluster/postgres-entrypoint /usr/local/bin/
ENTRYPOINT ["postgres-entrypoint"]
