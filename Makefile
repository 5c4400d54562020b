# `make` alone prints the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

PORT ?= 8000
HOST ?= 127.0.0.1
MODEL ?=
NAME ?= me

# vLLM with CUDA where there is an NVIDIA device, else its CPU build; everything else is the same.
LOCK := requirements/laptop$(if $(wildcard /dev/nvidia0),-cuda,).txt
PYTHON := .venv/bin/python
INSTALLED := .venv/installed-$(notdir $(basename $(LOCK)))
COMPILE := .venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-header --no-annotate --no-strip-extras

# What charts, protos and object storage are checked with; Go builds them, once, at these versions, npm installs Azurite.
TOOLS := .tools/bin
HELM := $(TOOLS)/helm-4.3.1
HELM_DOCS := $(TOOLS)/helm-docs-1.14.2
BUF := $(TOOLS)/buf-1.75.0
S3_SERVER := $(TOOLS)/versitygw-1.8.0
GOOGLE_SERVER := $(TOOLS)/fake-gcs-server-1.56.1
AZURE_SERVER := $(TOOLS)/azurite-blob
# Servers that keep state: Cassandra's jars, from Maven, and what speaks MongoDB's wire protocol.
CASSANDRA := .tools/cassandra-5.0.5/installed
MONGODB_SERVER := $(TOOLS)/ferretdb-1.24.2
# The clients of tests/clients have an environment of their own: their pins are not the mesh's.
CLIENTS_PYTHON := .venv-clients/bin/python
CLIENTS := .venv-clients/installed
NODE_CLIENTS := .tools/clients/node_modules/.package-lock.json
CODEX := .tools/codex/installed
export PATH := $(CURDIR)/$(TOOLS):$(PATH)

.PHONY: help up down key install test check unit contract mesh live charts bench protos locks clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# A server's URL holds a password, so it goes by the environment.
up key key-list key-revoke: export CHATMESH_STORES := $(or $(STORES),$(CHATMESH_STORES))

up: $(INSTALLED) ## run the mesh here   [PORT=8000 HOST=127.0.0.1 MODEL=<directory or hub id> STORES=<postgresql://...> DETACH=1]
	@$(PYTHON) -m services up --host $(HOST) --port $(PORT) --model "$(MODEL)" $(if $(DETACH),--detach)

down: ## stop what `make up DETACH=1` started
	@$(PYTHON) -m services down

key: $(INSTALLED) ## make an API key and show it once   [NAME=me APPLICATION=1 MEMORY=1]
	@$(PYTHON) -m services key create "$(NAME)" $(if $(APPLICATION),--application) $(if $(PERSONAL),--personal) $(if $(CHANGE_KIND),--change-kind) $(if $(MEMORY),--memory)

.PHONY: key-list key-revoke
key-list: $(INSTALLED) ## show the API keys and their accounts
	@$(PYTHON) -m services key list

key-revoke: $(INSTALLED) ## revoke an API key, or all of an account   [KEY=<id in key-list> or ACCOUNT=ada]
	@$(PYTHON) -m services key revoke $(if $(KEY),"$(KEY)") $(if $(ACCOUNT),--account "$(ACCOUNT)")

install: $(INSTALLED) ## make .venv from the hashed locks; `make up` and `make test` do it themselves

$(INSTALLED): $(LOCK) requirements/uv.txt pyproject.toml
	@python=$$(for each in python3.11 python3.12 python3.13 python3; do \
		$$each -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && \
		command -v $$each && break; done || true); \
	if [ -z "$$python" ]; then echo "chatmesh needs Python 3.11, 3.12 or 3.13: install one first." >&2; exit 1; fi; \
	if [ ! -x $(PYTHON) ]; then echo "making .venv with $$python"; $$python -m venv .venv; fi
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@echo "installing $(LOCK): some 6 GB the first time, from the cache after that"
	@.venv/bin/uv pip install --python $(PYTHON) --no-deps --require-hashes -r $(LOCK)
	@.venv/bin/uv pip install --quiet --python $(PYTHON) --no-deps --no-build-isolation -e .
	@touch $@

test: check unit contract protos-test charts-test mesh live clients ## all that CI runs: the checks and every suite

check: $(INSTALLED) ## style, types, imports between services, generated code
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	$(MAKE) --no-print-directory check-protos

.PHONY: check-protos
check-protos:
	@made=$$(mktemp -d); trap 'rm -rf $$made' EXIT; \
	$(MAKE) --no-print-directory --silent protos GEN=$$made && diff -r -x __pycache__ $$made protos/gen \
		|| { echo "protos/gen is not what protos/chatmesh says: run \`make protos\` and commit" >&2; exit 1; }

# Nothing of these talks to a server that tests share: they run on all cores.
unit: SUITES = tests/unit tests/test_house_rules.py -n auto --dist loadfile
contract mesh live: SUITES = tests/$@
contract live: redis-server
contract: $(S3_SERVER) $(GOOGLE_SERVER) $(AZURE_SERVER) $(CASSANDRA) $(MONGODB_SERVER)
unit contract mesh live: $(INSTALLED)
	.venv/bin/pytest -q $(SUITES)

# Debian's own; where there is no apt, its tests are skipped by name.
.PHONY: redis-server
redis-server:
	@command -v redis-server >/dev/null || ! command -v apt-get >/dev/null || { \
		apt-get update -qq && apt-get install -qq -y --no-install-recommends redis-server; } >/dev/null

.PHONY: clients
clients: $(INSTALLED) $(CLIENTS) $(NODE_CLIENTS) $(CODEX) ## the mesh as real clients see it: OpenAI's SDKs, LangChain, AI SDK, ...
	$(CLIENTS_PYTHON) -m pytest -q tests/clients

$(CLIENTS): requirements/clients.txt $(INSTALLED)
	@echo "installing $<"
	@.venv/bin/uv venv --quiet --clear --python $(PYTHON) .venv-clients
	@.venv/bin/uv pip install --quiet --python $(CLIENTS_PYTHON) --no-deps --require-hashes -r $<
	@touch $@

# Node itself comes with the Python packages: the clients want a newer one than many a system has.
$(NODE_CLIENTS): $(wildcard tests/clients/node/package*.json)
	@echo "installing tests/clients/node with npm"
	@mkdir -p .tools/clients && cp tests/clients/node/package*.json .tools/clients
	@npm ci --prefix .tools/clients --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# Codex is one program of some 400 MB. Where npm has it not, its tests are skipped, and say so.
$(CODEX): $(wildcard tests/clients/codex/package*.json)
	@echo "installing tests/clients/codex with npm"
	@mkdir -p .tools/codex && cp tests/clients/codex/package*.json .tools/codex
	@npm ci --prefix .tools/codex --ignore-scripts --no-audit --no-fund --loglevel=error \
	  && touch $@ || echo "Codex CLI could not be installed: its tests are skipped"

.PHONY: protos-test charts-test
protos-test: $(INSTALLED) $(BUF)
	.venv/bin/pytest -q tests/protos

charts-test: $(INSTALLED) $(HELM) $(HELM_DOCS)
	.venv/bin/pytest -q tests/charts -n auto --dist loadfile

charts: $(INSTALLED) $(HELM) $(HELM_DOCS) ## make anew what is made of the chart: schema, README, tests/charts/golden
	@$(PYTHON) charts/generate.py

$(TOOLS)/%:
	@echo "building $* with Go: minutes, the first time"
	@mkdir -p $(TOOLS)
	@case $* in \
		helm-docs-*) from=github.com/norwoodj/helm-docs/cmd/helm-docs@v$(lastword $(subst -, ,$*)) name=helm-docs ;; \
		buf-*) from=github.com/bufbuild/buf/cmd/buf@v$(lastword $(subst -, ,$*)) name=buf ;; \
		fake-gcs-server-*) from=github.com/fsouza/fake-gcs-server@v$(lastword $(subst -, ,$*)) name=fake-gcs-server ;; \
		versitygw-*) from=github.com/versity/versitygw/cmd/versitygw@v$(lastword $(subst -, ,$*)) name=versitygw ;; \
		helm-*) from=helm.sh/helm/v4/cmd/helm@v$(lastword $(subst -, ,$*)) name=helm ;; \
	esac; \
	CGO_ENABLED=0 GOBIN=$(CURDIR)/$(TOOLS) go install -ldflags "-s -w" $$from && ln -f $(TOOLS)/$$name $@

$(AZURE_SERVER): $(wildcard requirements/azurite/*.json)
	@echo "installing Azurite with npm"
	@mkdir -p $(TOOLS) .tools/azurite
	@cp requirements/azurite/*.json .tools/azurite
	@npm ci --prefix .tools/azurite --ignore-scripts --no-audit --no-fund --loglevel=error
	@ln -sf ../azurite/node_modules/.bin/azurite-blob $@ && touch $@

$(CASSANDRA): tests/servers/cassandra_node/pom.xml
	@echo "installing Cassandra with Maven"
	@mvn --quiet --batch-mode --file $< dependency:copy-dependencies \
		-DoutputDirectory=$(CURDIR)/$(@D) -DincludeScope=runtime && touch $@

# `go install` of it fails: its module lacks the file that says its version.
$(MONGODB_SERVER): tests/servers/ferretdb_build/go.mod tests/servers/ferretdb_build/go.sum
	@echo "building FerretDB with Go: minutes, the first time"
	@rm -rf .tools/ferretdb && mkdir -p .tools/ferretdb && cp $^ .tools/ferretdb
	@cd .tools/ferretdb && go mod vendor && chmod -R u+w vendor && \
		version=vendor/github.com/FerretDB/FerretDB/build/version && mkdir -p $$version && \
		echo v$(lastword $(subst -, ,$(MONGODB_SERVER))) > $$version/version.txt && \
		CGO_ENABLED=0 go build -mod=vendor -ldflags "-s -w" -o $(CURDIR)/$@ github.com/FerretDB/FerretDB/cmd/ferretdb
	@rm -rf .tools/ferretdb

bench: $(INSTALLED) ## measure this machine against bare vLLM and print the tables   [PARTS="throughput cpu ..."]
	$(PYTHON) -m loadtest $(PARTS)

# The servers are those of `make contract`. A bench names those that it wants, in braces.
.PHONY: bench-stores
bench-stores: $(INSTALLED) $(CASSANDRA) $(MONGODB_SERVER) ## measure each store on the servers of the tests   [PARTS="throughput --mesh-store accounts {postgresql}"]
	$(PYTHON) -m tests.servers $(PYTHON) -m loadtest \
		$(or $(PARTS),stores --store {sqlite} --store {postgresql} --store {cassandra} \
			--store {mongodb} --store {mongodb-indexed})

.PHONY: gateway-faults
gateway-faults: $(INSTALLED) redis-server ## kill and pause gateways under streams, and count what readers lost   [FAULTS="--kills 48 --pauses 30 --unfenced"]
	$(PYTHON) -m loadtest.gateways $(FAULTS)

GEN := protos/gen
protos: $(INSTALLED) ## regenerate protos/gen from protos/chatmesh
	@rm -rf $(GEN)/chatmesh $(GEN)/externalscaler
	@$(PYTHON) -m grpc_tools.protoc -Iprotos --python_out=$(GEN) --grpc_python_out=$(GEN) \
		--mypy_out=quiet:$(GEN) --mypy_grpc_out=quiet:$(GEN) \
		--plugin=protoc-gen-mypy=.venv/bin/protoc-gen-mypy --plugin=protoc-gen-mypy_grpc=.venv/bin/protoc-gen-mypy_grpc \
		$$(find protos/chatmesh protos/externalscaler -name '*.proto' | sort)

.PHONY: released-protos
released-protos: $(BUF) ## part of a release: what it says on the wire, to which the next one is held
	$(BUF) build protos --exclude-source-info -o protos/released.binpb

locks: $(INSTALLED) ## resolve requirements/*.txt anew from pyproject.toml
	$(COMPILE) pyproject.toml --extra mesh --extra inference-cpu --extra dev \
		--overrides requirements/overrides.txt -o requirements/laptop.txt
	$(COMPILE) pyproject.toml --extra mesh --extra inference --extra dev -o requirements/laptop-cuda.txt
	$(COMPILE) pyproject.toml --extra mesh -c requirements/laptop.txt -o requirements/mesh.txt
	$(COMPILE) pyproject.toml --extra inference-cpu -c requirements/laptop.txt \
		--overrides requirements/overrides.txt -o requirements/inference-cpu.txt
	$(COMPILE) pyproject.toml --extra inference -c requirements/laptop-cuda.txt -o requirements/inference.txt
	$(COMPILE) --group clients -o requirements/clients.txt

# One version for images, chart and code.
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' services/__init__.py)
IMAGES ?= chatmesh/
TAG ?= $(VERSION)
TARGETS ?= mesh inference-cpu
BUILD ?= docker
SUITE ?= tests/cluster

.PHONY: images
images: ## build images   [TARGETS="mesh inference-cpu inference" IMAGES=chatmesh/ TAG=version BUILD=docker, podman, buildah or a script]
	@for target in $(TARGETS); do \
		name=$(IMAGES)$$target:$(TAG); \
		echo "building $$name with $(BUILD)"; \
		options="--target $$target --build-arg VERSION=$(TAG) --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown)"; \
		case "$(BUILD)" in \
			docker | podman | buildah) $(BUILD) build $$options -t $$name -f services/Dockerfile . ;; \
			*) $(BUILD) $$name . services/Dockerfile $$options ;; \
		esac; \
	done

# The images of the cluster tests: the demo model, the mesh, the scripted engine, and both once more as a release to come.
.PHONY: cluster-images cluster-test
cluster-images: ## build what `make cluster-test` needs   [IMAGES=chatmesh/ TAG=version BUILD=docker, ... or a script]
	@name=$(IMAGES)model:$(TAG); echo "building $$name with $(BUILD)"; \
	case "$(BUILD)" in \
		docker | podman | buildah) $(BUILD) build -t $$name -f tests/cluster/model.Dockerfile . ;; \
		*) $(BUILD) $$name . tests/cluster/model.Dockerfile ;; \
	esac
	@for tag in $(TAG) $(TAG)-next; do \
		$(MAKE) --no-print-directory images TARGETS=mesh TAG=$$tag; \
		name=$(IMAGES)scripted:$$tag; echo "building $$name with $(BUILD)"; \
		options="--build-arg MESH=$(IMAGES)mesh:$$tag"; \
		case "$(BUILD)" in \
			docker | podman | buildah) $(BUILD) build $$options -t $$name -f tests/cluster/Dockerfile . ;; \
			*) $(BUILD) $$name . tests/cluster/Dockerfile $$options ;; \
		esac; \
	done

# The servers of tests/cluster/test_several.py.
.PHONY: stores-images
stores-images: ## build one-pod PostgreSQL and Redis, for the cluster tests   [IMAGES=chatmesh/ TAG=version BUILD=docker, ... or a script]
	@for target in postgres redis; do \
		name=$(IMAGES)$$target:$(TAG); echo "building $$name with $(BUILD)"; \
		case "$(BUILD)" in \
			docker | podman | buildah) $(BUILD) build --target $$target -t $$name -f tests/cluster/stores.Dockerfile . ;; \
			*) $(BUILD) $$name . tests/cluster/stores.Dockerfile --target $$target ;; \
		esac; \
	done

# What tests/cluster/test_upgrade.py begins with.
RELEASED := 8c10d44
RELEASED_TAG := 0.1.0
.PHONY: released-images
released-images: ## build the images of 0.1.0, from which a cluster test upgrades   [IMAGES=chatmesh/ BUILD=docker, ... or a script]
	@folder=$$(mktemp -d); trap 'rm -rf $$folder' EXIT; \
	git archive $(RELEASED) | tar -x -C $$folder; \
	$(MAKE) --no-print-directory -C $$folder images TARGETS=mesh TAG=$(RELEASED_TAG); \
	name=$(IMAGES)scripted:$(RELEASED_TAG); echo "building $$name with $(BUILD)"; \
	options="--build-arg MESH=$(IMAGES)mesh:$(RELEASED_TAG)"; \
	case "$(BUILD)" in \
		docker | podman | buildah) $(BUILD) build $$options -t $$name -f $$folder/tests/cluster/Dockerfile $$folder ;; \
		*) $(BUILD) $$name $$folder $$folder/tests/cluster/Dockerfile $$options ;; \
	esac

cluster-test: $(INSTALLED) $(S3_SERVER) ## the tests on the cluster that KUBECONFIG names   [TAG=version IMAGES=chatmesh/ SUITE=tests/cluster]
	@tests/cluster/definitions
	@IMAGES=$(IMAGES) TAG=$(TAG) NEXT_TAG=$(TAG)-next .venv/bin/pytest -q $(SUITE)

clean: ## forget what was installed and what the mesh kept here
	rm -rf .venv .venv-clients .tools .chatmesh .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
