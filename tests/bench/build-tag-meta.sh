# build-tag-meta: one step of `build-tag meta` beside one of docker/metadata-action, on the same event. Sourced by ./bench.
#
# The peer is a checkout or an unpacked release of it, named by SHIPKIT_BENCH_METADATA_ACTION; it needs node. It asks GitHub's API in
# every run, so there is one on the loopback, which answers at once. The two take turns; a figure is the median of 10 turns. One
# turn of ours is 10 runs, because one is shorter than what bash's clock can tell.

metadata_action_environment() {
  local folder=$1 port=$2
  mkdir -p "$folder/temp"
  : > "$folder/output"
  : > "$folder/env"
  cat > "$folder/event.json" <<'JSON'
{"ref": "refs/tags/v1.2.3", "base_ref": "refs/heads/main",
 "head_commit": {"id": "0123456789abcdef0123456789abcdef01234567", "timestamp": "2026-01-02T03:04:05Z"},
 "repository": {"name": "shop", "full_name": "acme/shop", "description": "All you need", "html_url": "https://github.com/acme/shop",
  "default_branch": "main", "license": {"spdx_id": "MIT"}, "owner": {"login": "acme"}}}
JSON
  metadata_action_env=(
    "PATH=$PATH" "HOME=$folder" "GITHUB_ACTIONS=true" "GITHUB_EVENT_NAME=push" "GITHUB_EVENT_PATH=$folder/event.json"
    "GITHUB_REF=refs/tags/v1.2.3" "GITHUB_SHA=0123456789abcdef0123456789abcdef01234567" "GITHUB_REPOSITORY=acme/shop"
    "GITHUB_SERVER_URL=https://github.com" "GITHUB_API_URL=http://127.0.0.1:$port" "GITHUB_OUTPUT=$folder/output"
    "GITHUB_ENV=$folder/env" "GITHUB_STATE=$folder/env" "GITHUB_STEP_SUMMARY=$folder/summary" "RUNNER_TEMP=$folder/temp"
    "GITHUB_RUN_ID=1" "GITHUB_RUN_NUMBER=1" "GITHUB_WORKFLOW=bench" "GITHUB_ACTION=meta" "GITHUB_ACTOR=acme" "GITHUB_JOB=bench"
    "INPUT_CONTEXT=workflow" "INPUT_GITHUB-TOKEN=ghs_bench" "INPUT_IMAGES=$(printf 'acme/shop\nghcr.io/acme/shop')"
    "INPUT_TAGS=$(printf '%s\n' 'type=schedule' 'type=semver,pattern={{version}}' 'type=semver,pattern={{major}}.{{minor}}' \
      'type=ref,event=branch' 'type=ref,event=pr' 'type=sha')"
  )
  : > "$folder/summary"
}

# The API that the peer asks; writes its port into a file.
metadata_action_api() {
  node -e '
    const body = JSON.stringify({name: "shop", description: "All you need", html_url: "https://github.com/acme/shop",
      default_branch: "main", license: {spdx_id: "MIT"}});
    const server = require("http").createServer((_, answer) => {
      answer.setHeader("content-type", "application/json");
      answer.end(body);
    });
    server.listen(0, "127.0.0.1", () => require("fs").writeFileSync(process.argv[1], String(server.address().port)));
  ' "$1"
}

# wall cpu of a command that is run so many times, in seconds for one run.
metadata_action_times() {
  local count=$1 TIMEFORMAT='%3R %3U %3S' times
  shift
  times=$({ time for ((i = 0; i < count; i++)); do "$@" > /dev/null 2>&1 || echo failed >&2; done; } 2>&1)
  awk -v count="$count" '/failed/ {print "bench: a run failed" > "/dev/stderr"; exit 1} {print $1 / count, ($2 + $3) / count}' <<< "$times"
}

metadata_action_memory() {
  /usr/bin/time -f %M "$@" 2>&1 > /dev/null | tail -n 1
}

# metadata_action_row name goal ours theirs unit
metadata_action_row() {
  wanted "$1" || return 0
  local ratio holds=false
  ratio=$(awk -v ours="$3" -v theirs="$4" 'BEGIN {printf "%.1f", theirs / ours}')
  if awk -v ratio="$ratio" -v goal="$2" 'BEGIN {exit !(goal <= ratio)}'; then holds=true; fi
  echo "bench: $1: ours $3 $5, docker/metadata-action $4 $5"
  row "$1" "$ratio" ratio '"docker/metadata-action"' 1 ">= $2" "$holds"
}

metadata_action_compare() {
  local ours=$1 dist=$2 folder api_pid turn
  folder=$(mktemp -d)
  metadata_action_api "$folder/port" &
  api_pid=$!
  until [ -s "$folder/port" ]; do kill -0 "$api_pid" && sleep 0.1; done
  metadata_action_environment "$folder" "$(cat "$folder/port")"
  local us=(env -i -C "$folder" "${metadata_action_env[@]}" "$ours") peer=(env -i -C "$folder" "${metadata_action_env[@]}" node "$dist")
  # Both warm, and both give the same tags: otherwise there is nothing to compare.
  "${us[@]}" > /dev/null 2>&1
  grep -q '^ghcr.io/acme/shop:1.2$' "$folder/output"
  : > "$folder/output"
  "${peer[@]}" > /dev/null
  grep -q '^ghcr.io/acme/shop:1.2$' "$folder/output"
  for ((turn = 0; turn < 10; turn++)); do
    metadata_action_times 1 "${peer[@]}" >> "$folder/peer"
    metadata_action_times 10 "${us[@]}" >> "$folder/us"
    metadata_action_memory "${peer[@]}" >> "$folder/peer-memory"
    metadata_action_memory "${us[@]}" >> "$folder/us-memory"
    : > "$folder/output"
  done
  kill "$api_pid"
  wait "$api_pid" 2> /dev/null || true
  metadata_action_row build-tag-meta-wall 20 "$(awk '{print $1}' "$folder/us" | median)" "$(awk '{print $1}' "$folder/peer" | median)" s
  metadata_action_row build-tag-meta-cpu 20 "$(awk '{print $2}' "$folder/us" | median)" "$(awk '{print $2}' "$folder/peer" | median)" s
  metadata_action_row build-tag-meta-memory 10 "$(median < "$folder/us-memory")" "$(median < "$folder/peer-memory")" KiB
  rm -r "$folder"
}

metadata_action_bench() {
  local name any=false dist=${SHIPKIT_BENCH_METADATA_ACTION:-}/dist/index.cjs triple
  for name in build-tag-meta-wall build-tag-meta-cpu build-tag-meta-memory; do if wanted "$name"; then any=true; fi; done
  "$any" || return 0
  if [ ! -f "$dist" ] || ! command -v node > /dev/null || [ ! -x /usr/bin/time ]; then
    echo "bench: build-tag-meta needs node, /usr/bin/time and the peer: git clone --branch v6.2.0 https://github.com/docker/metadata-action," >&2
    echo "bench: then SHIPKIT_BENCH_METADATA_ACTION=that/folder ./bench build-tag-meta" >&2
    for name in build-tag-meta-wall:20 build-tag-meta-cpu:20 build-tag-meta-memory:10; do
      if wanted "${name%:*}"; then row "${name%:*}" null ratio '"docker/metadata-action"' null ">= ${name#*:}" null; fi
    done
    return 0
  fi
  triple=$(rustc -vV | awk '/^host:/ {print $2}')
  echo "bench: a release build of build-tag takes some minutes when nothing is cached" >&2
  CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --locked --package build-tag --target "$triple" >&2
  metadata_action_compare "$PWD/target/$triple/release/build-tag" "$dist"
}

metadata_action_bench
