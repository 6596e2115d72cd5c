# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: demo test faults lint servers clean

demo: $(READY)
	$(BIN)/python examples/demo.py

test: $(READY) servers
	$(BIN)/pytest --numprocesses 2 --dist loadgroup

# The full load under faults, an hour at most; a smaller one is part of `make test`.
faults: $(READY) servers
	AXON_FAULTS=1 timeout 3600 $(BIN)/pytest tests/faults tests/migrations/test_deployers.py -rP --show-capture=stdout

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/databases.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml

# The database servers the tests start; what cannot be had is said here and again at the end of the tests.
servers: $(READY)
	@$(BIN)/python -m tests.servers

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or later is needed: make PYTHON=…"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "python3-venv is missing: getting it, which needs root"; \
		export DEBIAN_FRONTEND=noninteractive; apt-get update -qq && apt-get install -y -qq python3-venv \
		&& $(PYTHON) -m venv $(VENV); }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,demo]' --group test --group lint
	@touch $(READY)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
