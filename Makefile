# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: demo test oracle lint servers clean

demo: $(READY)
	$(BIN)/python examples/demo.py

test: $(READY) servers
	$(BIN)/pytest

# The conformance suite through the real Oracle driver, on the Oracle double (tests/servers/oracle_double).
oracle: $(READY)
	@$(BIN)/python -m tests.servers oracle-double
	AXON_TEST_ORACLE_DOUBLE_12_1_URL=start AXON_TEST_ORACLE_DOUBLE_23AI_URL=start $(BIN)/pytest tests/conformance -k oracle

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

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
