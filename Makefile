# The two commands: `make demo` and `make test`. Both set everything up first.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt
STAMP := $(VENV)/.installed

.PHONY: setup demo test soak bench lint fast format proto clean

setup: $(STAMP)

# PyRadiomics 3.0.1 has no wheel for Python 3.11 and its build needs numpy and an old setuptools
# beside it, so these go in first and it is built without isolation.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) numpy wheel versioneer setuptools
	$(PIP) --no-build-isolation pyradiomics
	$(PIP) torch
	$(PIP) --editable ".[dev]"
	touch $(STAMP)

demo: setup
	$(BIN)/myofed demo --out demo/$(shell date -u +%Y%m%dT%H%M%SZ)

# `make test COVER="--cov --cov-report=term:skip-covered"` counts covered lines too, a fifth slower.
test: setup lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not soak" $(COVER)

# Kills at every stage, bad sites, cut lines, full disks, containers, a message of 500 MB: a quarter
# of an hour of real processes, files side by side. Some need root, and say so.
soak: setup
	$(BIN)/python -m pytest -n 3 --dist loadfile -m soak

# Each row a ratio measured in this run; two hours on a machine with nothing else to do.
# `make bench DATA=FOLDER` measures on the real images of M&Ms too.
bench: setup
	$(BIN)/python benchmarks/bench.py bench $(if $(DATA),--data $(DATA))

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The quick half of the tests, while working.
fast: setup
	$(BIN)/python -m pytest -q -m "not slow and not realdata"

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Generates the link's code anew. The generator has an environment of its own: what it makes runs
# with every later grpcio and with protobuf 5.29 and 6.
proto:
	$(PYTHON) -m venv build/proto
	build/proto/bin/python -m pip install --disable-pip-version-check grpcio-tools==1.70.0
	build/proto/bin/python -m grpc_tools.protoc --proto_path=. --python_out=. --pyi_out=. \
		--grpc_python_out=. client/link/worker.proto

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .coverage
