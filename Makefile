# The one list of commands. `make` alone prints it.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo deps build test test-cluster lint golden sim sim-startup fuzz docs crds bench-wake bench-proxy bench-memory bench-shadow bench-kpa bench-endpoints storm example-iris example-iris-shadow example-iris-cluster run-recommender

help: ## print this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | awk -F'\t' '{printf "  make %-20s %s\n", $$1, $$2}'

deps: ## check what a bare Debian needs, and install it where that can be done with apt
	@tests/lint/deps.sh

build: ## build the command `rouse` for people (target/release/rouse)
	cargo build --release

demo: ## watch a model wake, grow, shrink and sleep: about a minute after the build; writes rouse-demo.html
	cargo build --release -p rouse
	target/release/rouse demo

test: ## run every test that this machine can run; the last line counts
	@tests/run.sh

test-cluster: ## only those on a real control plane with a real kubelet; ONE=NAME runs one, ROUSE_CLUSTER_KEEP=1 keeps a failed one
	cargo build --workspace --locked --bins --test cluster --test many --features rouse/cluster
	@tests/control-plane/build.sh
	cargo test --workspace --locked --features rouse/cluster --test cluster --test many -- $(ONE)

lint: ## format, clippy, who may depend on whom, file lengths, parity
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	@tests/lint/dependencies.sh
	@tests/lint/lengths.sh
	@tests/lint/parity.sh

golden: ## play the golden vectors; GOLDEN_DIR=... for others of the same format
	cargo test --workspace --test golden -- --nocapture

sim: ## the laws of scaling: 200 seeds of a toy cluster, 24 hours each, a fault a minute
	@cargo run -q -p sim -- laws

sim-startup: ## startup-aware scaling beside plain, as a table; TRACES_DIR=... for real loads too
	@cargo run -q -p sim -- startup

storm: ## 60 s at 256 in flight while replicas come, go, are killed and drained: nothing may be lost or begun twice; SEED=...
	cargo build --release -p rouse -p loadtest
	target/release/loadtest storm $(if $(SEED),--seed $(SEED))

fuzz: ## bytes of others at four doors, a minute each; FUZZ_SECONDS=600, FUZZ=frames, FUZZ_KEEP=1 for more
	@tests/fuzz/run.sh

docs: ## write the pages that are made from the code: docs/settings.md, docs/metrics.md
	@cargo run -q -p docs

crds: ## write the CustomResourceDefinition that is made from the code: deploy/crds/modelendpoints.yaml
	@cargo run -q -p docs -- crds

bench-wake: ## our share of 200 wakes: request in -> child spawned, ready -> forwarded (profile dist)
	cargo build --profile dist -p rouse -p loadtest
	target/dist/loadtest wake --rouse target/dist/rouse

bench-proxy: ## what sidecar and activator cost a request beside nginx, HAProxy and a bare hyper proxy (profile dist); ONLY=PART,.. measures a part; ROW=docs/performance.md adds rows
	cargo build --profile dist -p queue-proxy -p loadtest
	target/dist/loadtest proxy --queue-proxy target/dist/queue-proxy $(if $(ONLY),--only $(ONLY)) $(if $(KNATIVE_QUEUE_PROXY),--knative-queue-proxy $(KNATIVE_QUEUE_PROXY)) $(if $(ROW),--row $(ROW))

bench-memory: ## a gigabyte through sidecar and activator, 10,000 requests that wait, and what is left after (profile dist)
	cargo build --profile dist -p rouse -p queue-proxy -p loadtest
	target/dist/loadtest memory --rouse target/dist/rouse --queue-proxy target/dist/queue-proxy

bench-shadow: ## how long clients wait with a shadow that hangs, crashes, fails or floods, beside without one (profile dist)
	cargo build --profile dist -p rouse -p loadtest
	target/dist/loadtest shadow --rouse target/dist/rouse

bench-kpa: ## what decisions cost: one, 10,000 revisions, a day (profile dist); ROW=docs/performance.md adds a row
	cargo bench --profile dist -p kpa --bench decisions -- $(if $(ROW),--row $(abspath $(ROW)))

bench-endpoints: ## a thousand idle endpoints on a real control plane: memory, requests to it, and how soon each is decided about (profile release)
	@tests/control-plane/build.sh
	cargo build --release -p autoscaler -p activator -p queue-proxy -p cri -p rouse --bins --features rouse/cluster
	cargo test --release -p cluster --test many

run-recommender: ## scale a stand-in model on this machine; then try hey or oha at it
	cargo run --release -- up -f examples/recommender.yaml

example-iris: ## a real scikit-learn model behind KServe's Python server, from zero (needs python3 and PyPI)
	@examples/iris/run.sh

example-iris-shadow: ## the same with another model as its shadow: 1,000 requests, and the agreement told equals the one computed without Rouse
	@examples/iris/shadow.sh

example-iris-cluster: ## the same on a real control plane, as KServe's InferenceService: V2 over HTTP and gRPC, woken (needs what test-cluster does, too)
	@examples/iris/cluster.sh
