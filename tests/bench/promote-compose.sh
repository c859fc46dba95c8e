# Services of a Compose project that are replaced behind nginx. Sourced by ./bench.
#
# Ours is crates/shipkit-docker/examples/compose.rs, a program around `Compose`; the peer is Debian's `docker compose` with the same
# project and the same images, behind an nginx that asks Docker's name server every second. Two containers, a health check every
# 300 ms, and 200 requests a second, half of them on kept connections. Times are medians of $BENCH_ROUNDS, 5 by default; of the gap
# it is the longest of all rounds, of lost requests the sum.
#
# `shift` begins when the engine calls the last new container healthy and ends when nginx has been told. `rollback` ends there too:
# what drains and stops afterwards is not waited for. `crash` and `unchanged` are whole runs.

compose_names=(promote-compose-shift promote-compose-crash promote-compose-unchanged promote-compose-rollback promote-compose-gap
  promote-compose-lost)

# An image of the tests' program with other words, pushed; prints its name with the digest.
compose_image() {
  local tag=$REGISTRY/shipkit-bench-compose-$$:$1
  docker import --change "CMD $2" --change "LABEL version=$1" "$compose_work/root.tar" "$tag" > /dev/null
  docker push --quiet "$tag" > /dev/null
  docker image inspect --format '{{index .RepoDigests 0}}' "$tag"
}

# A project in a folder of its own: compose_project NAME, with what nginx does with a request on standard input.
compose_project() {
  mkdir -p "$compose_work/$1"
  {
    printf 'events { worker_connections 4096; }\nerror_log stderr;\nhttp {\n  access_log off;\n  keepalive_min_timeout 5s;\n'
    cat
    printf '}\n'
  } > "$compose_work/$1/nginx.conf"
  cat > "$compose_work/$1/compose.yml" << 'END'
services:
  api:
    image: ${IMAGE:-api}
    stop_grace_period: 6s
    stop_signal: SIGKILL
    healthcheck: {test: [CMD, /container, ask], interval: 300ms, timeout: 2s, retries: 3}
    deploy:
      replicas: 2
      update_config: {parallelism: 0, monitor: 1ms, order: start-first}
  nginx:
    image: shipkit-test/nginx:newer
    command: [nginx, -g, daemon off;]
    stop_grace_period: 1s
    depends_on: [api]
    volumes:
      - shipkit:/etc/nginx/shipkit
      - ./nginx.conf:/etc/nginx/nginx.conf:ro
volumes: {shipkit: {}}
END
}

compose_url() {
  echo "http://$(docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$1-nginx-1")/"
}

# Adds what ours says to a file of the row: compose_take ROW FIELD ENDED COMMAND...
compose_take() {
  local row=$1 field=$2 ended=$3 said
  shift 3
  said=$("$@" 2> "$compose_work/said") || { cat "$compose_work/said" >&2; return 1; }
  [ "${said%% *}" = "$ended" ] || { cat "$compose_work/said" >&2; echo "bench: $row: $said" >&2; return 1; }
  cut -d' ' -f"$field" <<< "$said" >> "$compose_work/$row"
}

# Adds how long the peer takes to exit with CODE: compose_peer ROW CODE IMAGE WORD...
compose_peer() {
  local row=$1 code=$2 began=$EPOCHREALTIME ended=0
  IMAGE=$3 docker compose -p "$compose_stack-peer" -f "$compose_work/peer/compose.yml" "${@:4}" > "$compose_work/said" 2>&1 || ended=$?
  [ "$ended" = "$code" ] || { cat "$compose_work/said" >&2; return 1; }
  awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.3f\n", b - a}' >> "$compose_work/$row"
}

# Adds what visitors notice of a command: compose_watched NAME STACK COMMAND...
compose_watched() {
  local name=$1 url said
  url=$(compose_url "$2")
  said=$("$compose_ours" watch "$url" "${@:3}" 2> "$compose_work/said") || { cat "$compose_work/said" >&2; return 1; }
  echo "$said" >> "$compose_work/$name.watched"
}

# A row of times: compose_row NAME MOST [peer]
compose_row() {
  local value peer=null peer_value=null
  if ! wanted "$1"; then return; fi
  value=$(median < "$compose_work/$1")
  if [ -n "${3:-}" ]; then peer='"docker_compose"' peer_value=$(median < "$compose_work/$1.peer"); fi
  echo "$1 $value s $peer $peer_value <_$2 $(awk -v v="$value" -v m="$2" 'BEGIN {print v < m ? "true" : "false"}')"
}

# The rows of what visitors noticed.
compose_watched_rows() {
  local gap peer_gap lost peer_lost
  gap=$(awk '$3 * 1000 > m {m = $3 * 1000} END {print m}' "$compose_work/ours.watched")
  peer_gap=$(awk '$3 * 1000 > m {m = $3 * 1000} END {print m}' "$compose_work/peer.watched")
  lost=$(awk '{s += $2} END {print s}' "$compose_work/ours.watched")
  peer_lost=$(awk '{s += $2} END {print s}' "$compose_work/peer.watched")
  if wanted promote-compose-gap; then
    echo "promote-compose-gap $gap ms \"docker_compose\" $peer_gap <_250 $(awk -v v="$gap" 'BEGIN {print v < 250 ? "true" : "false"}')"
  fi
  if wanted promote-compose-lost; then
    echo "promote-compose-lost $lost requests \"docker_compose\" $peer_lost 0 $([ "$lost" = 0 ] && echo true || echo false)"
  fi
}

# One round there and back; every round begins and ends with the first image.
compose_round() {
  local ours=("$compose_stack" "$compose_work/ours")
  compose_watched ours "$compose_stack" "$compose_ours" deploy "${ours[@]}" "$compose_two"
  compose_take promote-compose-rollback 3 "done" "$compose_ours" rollback "${ours[@]}"
  compose_take promote-compose-shift 4 "done" "$compose_ours" deploy "${ours[@]}" "$compose_two"
  compose_take promote-compose-unchanged 2 "done" "$compose_ours" deploy "${ours[@]}" "$compose_two"
  compose_take promote-compose-crash 2 failed "$compose_ours" deploy "${ours[@]}" "$compose_crash"
  compose_take back 2 "done" "$compose_ours" rollback "${ours[@]}"
  compose_watched peer "$compose_stack-peer" env IMAGE="$compose_two" docker compose -p "$compose_stack-peer" \
    -f "$compose_work/peer/compose.yml" up --detach
  compose_peer promote-compose-unchanged.peer 0 "$compose_two" up --detach
  compose_peer promote-compose-crash.peer 1 "$compose_crash" up --detach --wait
  compose_peer back 0 "$compose_one" up --detach --wait
}

compose_end() {
  local stack
  for stack in "$compose_stack" "$compose_stack-peer"; do docker compose -p "$stack" down --volumes --timeout 1 > /dev/null 2>&1 || true; done
  docker rmi --force $(docker images --quiet "$REGISTRY/shipkit-bench-compose-$$") > /dev/null 2>&1 || true
  rm -rf "$compose_work" "$HOME/.shipkit/$compose_stack"
}

# Prints the rows, a line each, and `end`. In a shell of its own, so that whatever happens ends what it started.
compose_figures() (
  set -e
  compose_work=$(mktemp -d) compose_stack=skbench-$$
  trap compose_end EXIT
  triple=$(rustc -vV | sed -n 's/^host: //p')
  compose_ours=target/$triple/release/examples/compose
  export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static"
  echo "bench: a release build of the Compose driver takes some minutes when nothing is cached" >&2
  cargo build --quiet --locked --release --target "$triple" --package shipkit-docker --example compose >&2
  rustc --edition=2024 -Ctarget-feature=+crt-static -Cstrip=symbols -o "$compose_work/container" \
    crates/shipkit-docker/tests/fixtures/container.rs
  tar -C "$compose_work" -cf "$compose_work/root.tar" container
  compose_one=$(compose_image 1 '["/container", "http", "1"]')
  compose_two=$(compose_image 2 '["/container", "http", "2"]')
  compose_crash=$(compose_image crash '["/container", "exit", "3"]')
  compose_project ours << 'END'
  include /etc/nginx/shipkit/*.conf;
  server {listen 80; location / {proxy_next_upstream off; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://api;}}
END
  compose_project peer << 'END'
  resolver 127.0.0.11 valid=1s;
  server {listen 80; location / {set $api api; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://$api:8080;}}
END
  compose_take first 2 "done" "$compose_ours" deploy "$compose_stack" "$compose_work/ours" "$compose_one"
  compose_peer first 0 "$compose_one" up --detach --wait
  for _ in $(seq "${BENCH_ROUNDS:-5}"); do compose_round >&2; done
  compose_row promote-compose-shift 1
  compose_row promote-compose-crash 5 peer
  compose_row promote-compose-unchanged 1 peer
  compose_row promote-compose-rollback 2
  compose_watched_rows
  echo end
)

promote_compose() {
  if ! any_wanted "${compose_names[@]}"; then return; fi
  if ! scripts/bed running; then trap 'scripts/bed down' EXIT; fi
  scripts/bed up docker compose registry images
  . target/bed.env
  add_rows compose_figures "replacing services of a Compose project"
}

promote_compose
