# plan: one `build-tag plan` of a repository with 10,000 files and 20 services, none of which was released before. Sourced by ./bench.
#
# What is planned asks a registry for earlier releases; it is the one of scripts/bed, on the loopback. There is no peer: no tool that
# we know decides from content what to build. The figure is the median of 10 runs.

# A repository of 20 services with 500 files each, committed.
plan_repository() {
  local folder=$1 service file
  {
    printf 'version: 1\nname: bench\nregistry: %s/bench-plan\nservices:\n' "$REGISTRY"
    for service in {01..20}; do
      mkdir -p "$folder/services/$service"/src/{01..20}
      printf 'FROM scratch\nCOPY . /\n' > "$folder/services/$service/Dockerfile"
      printf '**/*.md\n!README.md\nnode_modules\n' > "$folder/services/$service/.dockerignore"
      for file in {000..497}; do printf '%s %s\n' "$service" "$file" > "$folder/services/$service/src/$(printf %02d $((10#$file % 20 + 1)))/$file"; done
      printf '  s%s: {build: {context: services/%s}}\n' "$service" "$service"
    done
    printf 'environments:\n  staging: {branches: [main], target: {type: swarm}}\n'
  } > "$folder/shipkit.yml"
  git -C "$folder" init -q -b main
  git -C "$folder" add .
  git -C "$folder" -c user.name=bench -c user.email=bench@example.com -c gc.auto=0 commit -q -m bench
  git -C "$folder" repack -q -a -d
}

plan_bench() {
  local name=plan-10k-files-20-services triple folder turn value holds=false TIMEFORMAT=%3R
  wanted "$name" || return 0
  if ! scripts/bed running; then trap 'scripts/bed down' EXIT; fi
  scripts/bed up docker registry
  . target/bed.env
  triple=$(rustc -vV | awk '/^host:/ {print $2}')
  echo "bench: a release build of build-tag takes some minutes when nothing is cached" >&2
  CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --locked --package build-tag --target "$triple" >&2
  folder=$(mktemp -d)
  plan_repository "$folder"
  for ((turn = 0; turn < 11; turn++)); do
    { time (cd "$folder" && "$OLDPWD/target/$triple/release/build-tag" plan --json > plan.out 2> /dev/null); } 2>> "$folder/times"
    # Every service was looked at, and nothing stood in the way of a key.
    [ "$(grep -c 'built: no release to compare with' "$folder/plan.out")" = 20 ]
    rm -rf "$folder/.shipkit" "$folder/plan.out"
  done
  # The first one warms the caches.
  value=$(tail -n 10 "$folder/times" | sort -n | awk '{all[NR] = $1} END {printf "%.0f", (all[5] + all[6]) * 500}')
  rm -rf "$folder"
  if [ "$value" -lt 150 ]; then holds=true; fi
  row "$name" "$value" ms null null "< 150" "$holds"
}

plan_bench
