# `make demo` and `make test` are all a fresh machine needs; both make .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
DEMO_OUT ?= runs/demo
# Tests run in so many processes, each with one thread of arithmetic.
TEST_PROCESSES ?= 2

# What libraries bring along for remote stores, which nothing here opens (docs/reference/dependencies.md).
UNNEEDED := s3fs aiobotocore botocore aiohttp aioitertools aiosignal aiohappyeyeballs frozenlist multidict \
	propcache yarl jmespath wrapt

STATION_DATA ?= laboratory

.PHONY: demo station test lint types imports unit format clean

demo: $(STAMP)
	@rm -rf $(DEMO_OUT)
	$(BIN)/karyoscan scan --rig hardware_configs/simulated --protocol protocols/demo.yaml --out $(DEMO_OUT)

# The demo's slide in a laboratory that is ready: it is scanned while the administrator is made.
station: $(STAMP)
	@mkdir -p $(STATION_DATA)/runs
	@test -d $(STATION_DATA)/runs/demo || nohup $(BIN)/karyoscan scan --rig simulated --protocol demo \
		--out $(STATION_DATA)/runs/demo --accession DEMO-1 > $(STATION_DATA)/runs/demo.console.log 2>&1 &
	$(BIN)/karyoscan serve --data $(STATION_DATA)

test: lint types imports unit

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

# Instrument computers run Windows: types are checked as each system sees them, each with a cache of its own.
PLATFORMS := linux win32 darwin

types: $(addprefix types-,$(PLATFORMS))

types-%: $(STAMP)
	$(BIN)/mypy --platform $* --cache-dir .mypy_cache/$*

imports: $(STAMP)
	$(BIN)/lint-imports

unit: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses=$(TEST_PROCESSES) --dist=worksteal

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt "torch==2.13.0"
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	$(BIN)/pip uninstall --quiet --yes $(UNNEEDED)
	@touch $(STAMP)

clean:
	rm -rf $(VENV) runs .mypy_cache .ruff_cache .pytest_cache .hypothesis
