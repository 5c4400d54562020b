# `make` alone prints the targets.
PYTHON := .venv/bin/python

.PHONY: help protos
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

protos: ## regenerate protos/gen from protos/chatmesh
	rm -rf protos/gen/chatmesh
	$(PYTHON) -m grpc_tools.protoc -Iprotos --python_out=protos/gen --grpc_python_out=protos/gen \
		--mypy_out=protos/gen --mypy_grpc_out=protos/gen \
		--plugin=protoc-gen-mypy=.venv/bin/protoc-gen-mypy --plugin=protoc-gen-mypy_grpc=.venv/bin/protoc-gen-mypy_grpc \
		$$(find protos/chatmesh -name '*.proto' | sort)
