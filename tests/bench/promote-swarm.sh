# A service of a Swarm that is replaced. Sourced by ./bench.
#
# Ours is the program, `deploy-promote deploy`, with all that it does: admission, preflight, lease, journal, rollout, evidence. The peer
# is `docker service update` at its defaults, which waits as well. Both change the same service, in turns: ours to the second image,
# the peer back to the first. One task, start-first, watched for a second, without a health check. Each figure is a whole run; times
# are medians of $BENCH_ROUNDS, 10 by default.

swarm_names=(promote-swarm-update promote-swarm-unchanged promote-swarm-crash)

# An image of the tests' program with another command, pushed; prints its name with the digest.
swarm_image() {
  local tag=$REGISTRY/shipkit-bench-swarm-$$:$1
  docker import --change "CMD $2" --change "LABEL version=$1" "$swarm_work/root.tar" "$tag" > /dev/null
  docker push --quiet "$tag" > /dev/null
  docker image inspect --format '{{index .RepoDigests 0}}' "$tag"
}

# Adds how long a command takes to end with CODE: swarm_take ROW CODE COMMAND...
swarm_take() {
  local row=$1 code=$2 began=$EPOCHREALTIME ended=0
  "${@:3}" > "$swarm_work/said" 2>&1 || ended=$?
  [ "$ended" = "$code" ] || { cat "$swarm_work/said" >&2; echo "bench: $row: exit $ended" >&2; return 1; }
  awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.3f\n", b - a}' >> "$swarm_work/$row"
}

# swarm_ours ROW CODE RELEASE
swarm_ours() {
  swarm_take "$1" "$2" env -C "$swarm_work" "$swarm_program" deploy --environment staging --repository "$swarm_repository" --release "$3"
}

# swarm_peer ROW IMAGE. It exits with 0 where the Swarm has gone back, too.
swarm_peer() { swarm_take "$1.peer" 0 docker service update --quiet --image "$2" "${swarm_stack}_api"; }

# swarm_row NAME MOST [over]: less than MOST seconds, or than MOST seconds over the peer.
swarm_row() {
  local value peer_value most=$2 goal=$2
  if ! wanted "$1"; then return; fi
  value=$(median < "$swarm_work/$1")
  peer_value=$(median < "$swarm_work/$1.peer")
  if [ -n "${3:-}" ]; then goal=peer_+_$2 most=$(awk -v p="$peer_value" -v m="$2" 'BEGIN {print p + m}'); fi
  echo "$1 $value s \"docker_service_update\" $peer_value <_$goal $(awk -v v="$value" -v m="$most" 'BEGIN {print v < m ? "true" : "false"}')"
}

# Every round begins and ends with the first image.
swarm_round() {
  swarm_ours promote-swarm-update 0 "$swarm_second"
  swarm_ours promote-swarm-unchanged 0 "$swarm_second"
  swarm_ours promote-swarm-crash 1 "$swarm_broken"
  swarm_peer promote-swarm-update "$swarm_one"
  swarm_peer promote-swarm-unchanged "$swarm_one"
  swarm_peer promote-swarm-crash "$swarm_crash"
}

swarm_end() {
  docker service rm "${swarm_stack}_api" > /dev/null 2>&1 || true
  docker config rm $(docker config ls --quiet --filter "name=$swarm_stack") > /dev/null 2>&1 || true
  docker rm --force $(docker ps --all --quiet --filter "name=$swarm_stack") > /dev/null 2>&1 || true
  for _ in $(seq 50); do if ! docker network inspect "$swarm_stack" > /dev/null 2>&1 || docker network rm "$swarm_stack" > /dev/null 2>&1; then break; fi; done
  docker rmi --force $(docker images --quiet "$REGISTRY/shipkit-bench-swarm-$$") > /dev/null 2>&1 || true
  rm -rf "$swarm_work"
}

# Prints the rows, a line each, and `end`. In a shell of its own, so that whatever happens ends what it started.
swarm_figures() (
  set -e
  swarm_work=$(mktemp -d) swarm_stack=skbench-$$ swarm_repository=$REGISTRY/shipkit-bench-swarm-$$/release
  trap swarm_end EXIT
  triple=$(rustc -vV | sed -n 's/^host: //p')
  swarm_program=$PWD/target/$triple/release/deploy-promote
  export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static"
  echo "bench: a release build of deploy-promote takes some minutes when nothing is cached" >&2
  cargo build --quiet --locked --release --target "$triple" --package deploy-promote --bin deploy-promote >&2
  cargo build --quiet --locked --target "$triple" --package deploy-promote --example release >&2
  rustc --edition=2024 -Ctarget-feature=+crt-static -Cstrip=symbols -o "$swarm_work/container" \
    crates/shipkit-docker/tests/fixtures/container.rs
  tar -C "$swarm_work" -cf "$swarm_work/root.tar" container
  swarm_one=$(swarm_image 1 '["/container", "serve"]')
  swarm_two=$(swarm_image 2 '["/container", "serve"]')
  swarm_crash=$(swarm_image crash '["/container", "exit", "3"]')
  cat > "$swarm_work/shipkit.yml" << END
version: 1
name: bench
registry: $REGISTRY/shipkit-bench-swarm-$$
services:
  api:
    build: {context: api}
    stop_grace_period: 1s
    deploy: {endpoint_mode: dnsrr, update_config: {delay: 0s, monitor: 1s}}
environments:
  staging: {timeout: 60s, target: {type: swarm, stack: $swarm_stack}}
END
  release() { "target/$triple/debug/examples/release" "$swarm_repository" bench "$1" "api=$2"; }
  swarm_first=$(release 1.0.0 "$swarm_one")
  swarm_second=$(release 1.1.0 "$swarm_two")
  swarm_broken=$(release 1.2.0 "$swarm_crash")
  swarm_ours first 0 "$swarm_first"
  for _ in $(seq "${BENCH_ROUNDS:-10}"); do swarm_round >&2; done
  swarm_row promote-swarm-update 0.5 over
  swarm_row promote-swarm-unchanged 1
  swarm_row promote-swarm-crash 5
  echo end
)

promote_swarm() {
  if ! any_wanted "${swarm_names[@]}"; then return; fi
  if ! scripts/bed running; then trap 'scripts/bed down' EXIT; fi
  scripts/bed up docker registry swarm
  . target/bed.env
  add_rows swarm_figures "replacing a service of a Swarm"
}

promote_swarm
