# Adprior: `make help` lists what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PROFILE SOURCE DATA MAPPING AS_OF

ARGS = $(if $(PROFILE),--profile $(PROFILE)) $(if $(SOURCE),--source $(SOURCE)) $(if $(DATA),--data "$(DATA)") \
       $(if $(MAPPING),--mapping "$(MAPPING)") $(if $(OUT),--out "$(OUT)")

LOOK = $(if $(PROFILE),--profile $(PROFILE)) $(if $(SOURCE),--source $(SOURCE)) $(if $(OUT),--out "$(OUT)")

.PHONY: help run check init-mapping backfill explain report models runs ui test test-slow lint clean install
.DEFAULT_GOAL := help

help: ## list the targets
	@echo "make TARGET [PROFILE=tiny|small|full] [SOURCE=world|parquet|purchases] [DATA=<dir or s3://...>] [MAPPING=<file>] [OUT=<dir>] [AS_OF=<day>]"
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  %-13s %s\n", $$1, $$2}'

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
		{ echo "Adprior needs Python 3.11; name it with PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV): 2 minutes and 3 GB or more, the first time ..."
	@$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt torch==2.13.0 -e '.[dev]'
	@touch $@

install: $(VENV)/.installed ## make .venv and install everything into it

run: install ## the whole pipeline for one snapshot day; type it again to resume
	@$(BIN)/adprior run $(ARGS) $(if $(AS_OF),--as-of $(AS_OF))

check: install ## look at the logs without running anything: every problem at once, with its remedy
	@$(BIN)/adprior check $(ARGS) $(if $(AS_OF),--as-of $(AS_OF))

init-mapping: install ## DATA=<dir or s3://...>: draft a mapping file for your own logs (MAPPING=mapping.yaml)
	@$(BIN)/adprior init-mapping "$(DATA)" $(if $(MAPPING),--out "$(MAPPING)")

backfill: install ## FROM=<day> TO=<day>: those days one after another (default: the newest 14); resumes
	@$(BIN)/adprior backfill $(ARGS) $(if $(FROM),--from $(FROM)) $(if $(TO),--to $(TO))

explain: install ## USER=<id>: one user through the system (without USER: some ids to try)
	@$(BIN)/adprior explain $(if $(filter command,$(origin USER)),"$(USER)",--sample) $(ARGS) $(if $(AS_OF),--as-of $(AS_OF))

report: install ## the results of the newest report, and where its page lies
	@$(BIN)/adprior report $(LOOK) $(if $(AS_OF),--as-of $(AS_OF))

models: install ## registered model versions and which the newest day uses
	@$(BIN)/adprior models $(LOOK)

runs: install ## the newest Dagster runs, how they went and why one failed
	@$(BIN)/adprior runs $(LOOK)

ui: install ## Dagster and MLflow pages on the state that `make run` left
	@$(BIN)/adprior ui $(ARGS)

test: install ## the test suite, as CI runs it
	@$(BIN)/python -m pytest -n 2

test-slow: install ## tests that take minutes or need the real base model
	@$(BIN)/python -m pytest -m slow

lint: install ## ruff (style, format), mypy --strict on ml/ and serving/, import rules
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports --no-cache

WRITTEN = world-tiny world-small world-full parquet-tiny parquet-small parquet-full purchases-tiny purchases-small purchases-full mlflow.db mlartifacts last-run.json

clean: ## remove what runs have written into OUT (default var/), keeping fetched base models
	@rm -rf $(foreach name,$(WRITTEN),"$(or $(OUT),var)/$(name)") .pytest_cache .mypy_cache .ruff_cache .hypothesis build
