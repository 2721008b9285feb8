# The recipes of this project; `just` lists them. Each is one command that works without `just` as well.

# List the recipes
default:
    @just --list

# Show the whole service with nothing installed
demo *arguments:
    scripts/demo {{arguments}}

# Run every check that a change must pass
test:
    scripts/test

# Check formatting and lints
lint:
    cargo fmt --all --check
    cargo clippy --release --locked --workspace --all-targets -- -D warnings

# Run the tests whose names contain a pattern, for example `just only config::`
only pattern:
    cargo test --release --locked --workspace -- {{pattern}}

# Run the simulation of the outbox with many schedules
simulate schedules="100000":
    IDAAS_BRIDGE_SCHEDULES={{schedules}} cargo test --release --locked --workspace simulation::tests::nothing

# Build and open the API documentation, private items included
doc:
    cargo doc --release --no-deps --workspace --document-private-items --open

# Measure preparation, outbox, journal, and the whole server with a real Kafka
bench:
    cargo bench --bench prepare
    cargo bench --bench outbox
    cargo bench --bench journal
    cargo bench --bench server

# Compare the JSON reader with libraries (docs/decisions/0006-json-reader.md)
bench-json:
    cargo run --release --locked --manifest-path benches/json-readers/Cargo.toml

# Run for some minutes with a fault each minute
soak minutes="30":
    scripts/soak {{minutes}}

# Render docs/demo.svg from a real run
demo-image:
    scripts/demo-image

# Build the files of a release
release *tag:
    scripts/release {{tag}}
