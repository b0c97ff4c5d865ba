# Every target sets up what it needs first (Python packages in .venv, Azurite in node_modules); a second run starts at once.
# Variables: KEEP=1 (demo: leave everything running), HOST=func (demo: serve the app with Azure Functions Core Tools),
# PYTHON=/path/to/python3.13, SEED=n MINUTES=m (chaos), SECONDS=n (fuzz), ARGS="..." (passed on to pytest, chaos, or a measurement).

.DEFAULT_GOAL := help
.PHONY: help setup demo test chaos fuzz bench bench-scale check infra package lock clean
export PYTHON

bin := .venv/bin

help: ## Show the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 14

setup: ## Install what demo and test need, if it is not there
	@sh local/install.sh

demo: setup ## Run the whole path on this machine and play a leasing story on it
	@$(bin)/python -m local.demo $(if $(KEEP),--keep) $(if $(HOST),--host $(HOST))

test: setup ## Run the tests: unit, contract, integration
	@$(bin)/python -m pytest $(ARGS)

chaos: setup ## Play random accidents on the whole path, then hold the record against the ledger (SEED=n MINUTES=m)
	@$(bin)/python -m local.chaos $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES)) $(ARGS)

fuzz: setup ## Fuzz the Function's route and every parser, SECONDS=n each (30)
	@$(bin)/python -m tests.fuzz --all --seconds $(or $(SECONDS),30)

bench: setup ## Measure everything end to end, and write benchmarks/report.md with its plots (ARGS="--quick": under three minutes)
	@$(bin)/python -m benchmarks $(ARGS)

bench-scale: setup ## Count what an event costs in Table Storage, and write benchmarks/scale/report.md (ARGS="--quick")
	@$(bin)/python -m benchmarks.scale $(ARGS)

check: setup infra ## Run the linters: style, types, import rules, infrastructure, no registry host names
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	$(bin)/mypy
	PYTHONPATH=webjob $(bin)/lint-imports
	@sh local/no-registry-hosts.sh

infra: setup ## Check infra/ as far as that can be done without Azure: syntax, symbols, types, roles, checkov
	@$(bin)/python -m local.infra

package: setup ## Make dist/functions.zip and dist/webjobs.zip, the same bytes for the same commit
	@$(bin)/python -m local.package $(ARGS)

lock: ## Pin the dependencies anew from pyproject.toml (needs uv)
	@sh local/lock.sh

clean: ## Remove what the other targets made
	rm -rf .venv .venv-infra .build dist node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
