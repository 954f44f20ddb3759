#!/usr/bin/env bash
# Measures `Reserve`, `Commit` and the pair through a sidecar on a Redis of its own, beside the bare script on the same Redis.
#
# Starts the Redis (its unix socket in a directory of its own, no persistence) and the sidecar, and ends both. Takes some minutes, most of
# them to build. Prints one table in Markdown; docs/performance.md has the method and one run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
    cat <<'TEXT'
Usage: benches/redis.sh [SERVER]

  SERVER  the program to measure on: a redis-server or valkey-server; `redis-server` if none is named

CARGO_TARGET_DIR says where to build; `target` if it is not set.
TEXT
}

case ${1-} in
    -h | --help) usage && exit ;;
esac
readonly server=${1-redis-server}
readonly build_dir=${CARGO_TARGET_DIR:-target}
if ! command -v "$server" >/dev/null; then
    printf 'missing: %s\nhint: `tests/run.sh servers` installs servers; name one of them\n' "$server" >&2
    exit 1
fi

cargo build --release --locked --quiet
cargo bench --bench redis --locked --quiet --no-run

directory=$(mktemp -d)
processes=()
finish() {
    for process in "${processes[@]}"; do
        kill "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
    rm -rf "$directory"
}
trap finish EXIT

cat >"$directory/catalog.yaml" <<'YAML'
catalog: genquota/v1
currency: USD
default_plan: open
meters: {credits: {title: Credits}}
actions:
  video.generate:
    meter: credits
    measures: seconds
    rules: [{per: seconds, rate: 1, round: {mode: up, to: 1, each: output}}]
plans:
  open:
    allowances: [{meter: credits, amount: 100000000, per: subject}]
    caps:
      spend: {of: cost, limit: 1000000, per: day}
      running: {of: in_flight, limit: 100000}
prices:
  - {provider: fal, model: wan-2.2, tier: basic, components: [{per: seconds, price: 0.04}]}
YAML

"$server" --port 0 --unixsocket "$directory/redis" --save '' --appendonly no --dir "$directory" >"$directory/redis.log" 2>&1 &
processes+=($!)
redis_pid=$!
for _ in $(seq 100); do
    [[ -S $directory/redis ]] && break
    sleep 0.1
done
"$build_dir/release/genquota" serve --json --listen 127.0.0.1:0 --http off --catalog "$directory/catalog.yaml" --store "redis+unix://$directory/redis" \
    --journal off --log-filter warn >"$directory/bound" 2>"$directory/sidecar.log" &
sidecar_pid=$!
processes+=("$sidecar_pid")
for _ in $(seq 300); do
    [[ -s $directory/bound ]] && break
    kill -0 "$sidecar_pid" 2>/dev/null || { cat "$directory/sidecar.log" >&2; exit 1; }
    sleep 0.1
done
address=$(python3 -c 'import json, sys; print(json.loads(open(sys.argv[1]).readline())["listen"][0])' "$directory/bound")

"$server" --version | head -n 1
printf 'cores: %s\n\n' "$(getconf _NPROCESSORS_ONLN)"
GENQUOTA_BENCH_SIDECAR=http://$address GENQUOTA_BENCH_SIDECAR_PID=$sidecar_pid GENQUOTA_BENCH_REDIS=redis+unix://$directory/redis \
    GENQUOTA_BENCH_REDIS_PID=$redis_pid GENQUOTA_BENCH_TICKS=$(getconf CLK_TCK) cargo bench --bench redis --locked --quiet
