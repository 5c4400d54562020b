# The servers of k8s/stores as images built from Debian's packages, for clusters that no registry reaches.
FROM debian:bookworm-slim AS redis
RUN apt-get update \
    && apt-get install -y --no-install-recommends redis-server \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /tmp
ENTRYPOINT ["redis-server"]

FROM debian:bookworm-slim AS postgres
RUN useradd --uid 999 --user-group --home-dir /var/lib/postgresql postgres \
    && apt-get update \
    && apt-get install -y --no-install-recommends postgresql-15 \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o postgres -g postgres /var/run/postgresql
ENV PATH=/usr/lib/postgresql/15/bin:$PATH
COPY tests/cluster/postgres-entrypoint /usr/local/bin/
ENTRYPOINT ["postgres-entrypoint"]
