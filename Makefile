# Short names for the scripts.  Needs make and bash; on Windows run the scripts from Git Bash.
.DEFAULT_GOAL := help
.PHONY: help quickstart check check-fast proof reference docs serve

VENV ?= .venv
export VENV
PYTHON = bash scripts/python.sh

help: ## List these targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

quickstart: ## Install poetgen into .venv, generate poems, train a tiny model.
	bash scripts/quickstart.sh

check: ## Run all checks (minutes); creates .venv if there is none.
	bash scripts/test.sh

check-fast: ## Run the checks that take seconds: lint, format, spelling, links, drift, structure.
	bash scripts/test.sh --fast

BASE ?= main
proof: ## Prove that no result has changed since BASE (main): seeded losses and poems.
	bash scripts/proof.sh $(BASE)

reference: ## Write docs/reference again from the code.
	$(PYTHON) scripts/make_reference.py

docs: ## Build the document site into build/site.
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict

serve: ## Show the document site at http://127.0.0.1:8000 while you edit.
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs serve
