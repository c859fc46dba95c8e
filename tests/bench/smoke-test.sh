# smoke-test beside hurl and oha. Sourced by ./bench.
#
# Twenty checks of status, media type and one value, in a shipkit.yml and in twenty files of Hurl, at a real nginx over TLS, each check on
# a connection of its own, and at a server that answers after 100 ms. Nothing of ours or of hurl is configured but the root of the
# certificate; ours asks besides whether the target is ready. Both take turns; walls and peaks are medians of $BENCH_ROUNDS, 10 by default.
#
# The p95 of a server that stands still for one of six seconds is that of `expect.p95`, while oha asks the same server as often for as
# long, with --latency-correction; the median of three rounds. What `watch` costs is user and system time of ten seconds at 1,000 requests
# a second, on new connections and kept ones in turns as by default, at an nginx that answers by itself; oha does both after it, one
# after the other.

smoke_test_names=(smoke-test-tls-wall smoke-test-tls-memory smoke-test-slow-wall smoke-test-stall-p95 smoke-test-watch-cpu)
smoke_oha_version=1.16.0

smoke_test_oha() {
  local folder=$1
  if [ -x "$folder/bin/oha" ]; then return; fi
  echo "bench: building oha $smoke_oha_version with cargo into $folder (some minutes)" >&2
  # What it measures is a second long, so it need not be as quick as it could be. Our flags are for builds that name their target.
  env -u CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    CARGO_TARGET_DIR="$folder.part" cargo install --quiet --locked --version "$smoke_oha_version" --root "$folder" oha >&2 ||
    echo "bench: oha cannot be had here; its figures are left out" >&2
  rm -rf "$folder.part"
}

# Starts a program of ours that prints its port: smoke_test_serve VARIABLE WORD...
smoke_test_serve() {
  local printed=
  # What the one before has printed is not for this one.
  : > "$smoke_work/$1.port"
  "$smoke_work/server" "${@:2}" > "$smoke_work/$1.port" &
  smoke_started+=($!)
  for _ in $(seq 100); do
    read -r printed < "$smoke_work/$1.port" || true
    if [ -n "$printed" ]; then break; fi
    sleep 0.1
  done
  [ -n "$printed" ]
  printf -v "$1" %s "$printed"
}

# An nginx that answers by itself, over TLS at one free port and without it at another.
smoke_test_nginx() {
  local ports
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=bench -days 1 -keyout "$smoke_work/ca.key" \
    -out "$smoke_work/ca.pem" 2> /dev/null
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost \
    -addext extendedKeyUsage=serverAuth -keyout "$smoke_work/key.pem" -out "$smoke_work/csr.pem" 2> /dev/null
  openssl x509 -req -in "$smoke_work/csr.pem" -CA "$smoke_work/ca.pem" -CAkey "$smoke_work/ca.key" -CAcreateserial -days 1 \
    -copy_extensions copy -out "$smoke_work/chain.pem" 2> /dev/null
  for _ in $(seq 5); do
    ports=($(shuf -i 20000-29999 -n 2))
    smoke_tls=${ports[0]} smoke_plain=${ports[1]}
    cat > "$smoke_work/nginx.conf" << END
daemon off;
worker_processes 2;
pid $smoke_work/nginx.pid;
error_log $smoke_work/error.log;
events {worker_connections 4096;}
http {
  access_log off;
  client_body_temp_path $smoke_work/body; proxy_temp_path $smoke_work/proxy; fastcgi_temp_path $smoke_work/fastcgi;
  uwsgi_temp_path $smoke_work/uwsgi; scgi_temp_path $smoke_work/scgi;
  server {
    listen 127.0.0.1:$smoke_tls ssl; listen 127.0.0.1:$smoke_plain;
    ssl_certificate $smoke_work/chain.pem; ssl_certificate_key $smoke_work/key.pem;
    location / {default_type application/json; return 200 '{"ok": true}';}
  }
}
END
    "$NGINX_PROGRAM" -e "$smoke_work/error.log" -c "$smoke_work/nginx.conf" &
    smoke_started+=($!)
    for _ in $(seq 50); do
      if bash -c "exec 3<>/dev/tcp/127.0.0.1/$smoke_plain" 2> /dev/null; then return; fi
      if ! kill -0 $! 2> /dev/null; then break; fi
      sleep 0.1
    done
  done
  cat "$smoke_work/error.log" >&2
  return 1
}

# The same twenty checks for both: smoke_test_checks FOLDER ADDRESS
smoke_test_checks() {
  local folder=$smoke_work/$1 n
  mkdir -p "$folder"
  {
    printf 'version: 1\nname: shop\nservices: {api: {build: {}, healthcheck: {ready: /health}}}\nenvironments:\n  bench:\n    url: %s\n    smoke:\n' "$2"
    for n in $(seq 20); do
      printf '      - {get: /api/%s, headers: {Content-Type: application/json}, expect: {status: 200, json: {ok: true}}}\n' "$n"
      printf 'GET %s/api/%s\nHTTP 200\n[Asserts]\nheader "Content-Type" == "application/json"\njsonpath "$.ok" == true\n' "$2" "$n" > "$folder/$n.hurl"
    done
  } > "$folder/shipkit.yml"
}

# Adds the milliseconds and the peak in MB that a command takes in a folder: smoke_test_take FOLDER NAME COMMAND...
smoke_test_take() {
  local folder=$1 name=$2 began ended
  shift 2
  began=$EPOCHREALTIME
  (cd "$smoke_work/$folder" && exec /usr/bin/time -f %M -o "$smoke_work/peak" "$@") > "$smoke_work/said" 2>&1 ||
    { cat "$smoke_work/said" >&2; return 1; }
  ended=$EPOCHREALTIME
  awk -v a="$began" -v b="$ended" 'BEGIN {printf "%.1f\n", (b - a) * 1000}' >> "$smoke_work/$folder.$name.wall"
  awk '{printf "%.1f\n", $1 * 1024 / 1000000}' "$smoke_work/peak" >> "$smoke_work/$folder.$name.memory"
}

smoke_test_rounds() {
  local folder=$1 root=()
  if [ "$folder" = tls ]; then root=("$smoke_work/ca.pem"); fi
  for _ in $(seq "${BENCH_ROUNDS:-10}"); do
    smoke_test_take "$folder" ours "$smoke_ours" run --environment bench ${root:+--ca-file "$root"}
    if [ -x "$smoke_hurl" ]; then smoke_test_take "$folder" hurl "$smoke_hurl" --test ${root:+--cacert "$root"} $(seq -f %g.hurl 20); fi
  done
}

# A row of what was taken: smoke_test_row NAME FILE UNIT MOST
smoke_test_row() {
  local value peer=null peer_value=null
  if ! wanted "$1"; then return; fi
  value=$(median < "$smoke_work/${2/./.ours.}")
  if [ -f "$smoke_work/${2/./.hurl.}" ]; then peer='"hurl"' peer_value=$(median < "$smoke_work/${2/./.hurl.}"); fi
  echo "$1 $value $3 $peer $peer_value <=_$4 $(awk -v v="$value" -v m="$4" 'BEGIN {print v <= m ? "true" : "false"}')"
}

# Both begin when the server does, so that they see the same of its pauses.
smoke_test_stall() {
  local asking value peer=null peer_value=null holds=null port
  for _ in 1 2 3; do
    smoke_test_serve port stall
    mkdir -p "$smoke_work/stall"
    printf 'version: 1\nname: shop\nservices: {api: {build: {}, healthcheck: {ready: /}}}\nenvironments: {bench: {url: "http://127.0.0.1:%s", smoke: [{get: /, expect: {p95: 500ms}}]}}\n' \
      "$port" > "$smoke_work/stall/shipkit.yml"
    if [ -x "$smoke_oha" ]; then
      "$smoke_oha" --no-tui --output-format json --latency-correction --disable-keepalive -q 20 -c 100 -z 15s "http://127.0.0.1:$port/" \
        > "$smoke_work/oha.json" &
      asking=$!
    fi
    (cd "$smoke_work/stall" && "$smoke_ours" run --environment bench --json > ours.json 2> said) || true
    grep -o '"p95Ms": *[0-9]*' "$smoke_work/stall/ours.json" | grep -o '[0-9]*$' >> "$smoke_work/stall.ours"
    if [ -x "$smoke_oha" ]; then
      wait "$asking"
      tr -d ' \n' < "$smoke_work/oha.json" | sed 's/.*"latencyPercentiles":{[^}]*"p95":\([0-9.]*\).*/\1/' |
        awk '{printf "%.0f\n", $1 * 1000}' >> "$smoke_work/stall.oha"
    fi
  done
  value=$(median < "$smoke_work/stall.ours")
  if [ -x "$smoke_oha" ]; then
    peer='"oha"' peer_value=$(median < "$smoke_work/stall.oha")
    holds=$(awk -v a="$value" -v b="$peer_value" 'BEGIN {print 0.9 * b <= a && a <= 1.1 * b ? "true" : "false"}')
  fi
  echo "smoke-test-stall-p95 $value ms $peer $peer_value within_10_% $holds"
}

# The share of one core that a command takes, in %.
smoke_test_share() {
  /usr/bin/time -f '%U %S %e' -o "$smoke_work/times" "$@" > "$smoke_work/said" 2>&1 || { cat "$smoke_work/said" >&2; return 1; }
  tail -n 1 "$smoke_work/times" | awk '{printf "%.1f\n", ($1 + $2) / $3 * 100}'
}

smoke_test_watch() {
  local value peer=null peer_value=null address=http://127.0.0.1:$smoke_plain/
  for _ in 1 2 3; do
    smoke_test_share "$smoke_ours" watch --url "$address" --rate 1000 --duration 10s >> "$smoke_work/watch.ours"
    if [ -x "$smoke_oha" ]; then
      # It takes either new connections or kept ones, and ours takes them in turns: the mean of both.
      for kind in --disable-keepalive ""; do
        smoke_test_share "$smoke_oha" --no-tui --latency-correction ${kind:+"$kind"} -q 1000 -z 10s "$address"
      done | awk '{sum += $1} END {print sum / 2}' >> "$smoke_work/watch.oha"
    fi
  done
  value=$(median < "$smoke_work/watch.ours")
  if [ -x "$smoke_oha" ]; then peer='"oha"' peer_value=$(median < "$smoke_work/watch.oha"); fi
  echo "smoke-test-watch-cpu $value % $peer $peer_value <_10 $(awk -v v="$value" 'BEGIN {print v < 10 ? "true" : "false"}')"
}

# Prints the rows, a line each, and `end`. In a shell of its own, so that whatever happens ends what it started.
smoke_test_figures() (
  set -e
  smoke_work=$(mktemp -d) smoke_started=()
  trap 'if [ ${#smoke_started[@]} != 0 ]; then kill "${smoke_started[@]}" 2> /dev/null || true; wait; fi; rm -rf "$smoke_work"' EXIT
  peers=${SHIPKIT_CACHE:-$HOME/.cache/shipkit}/bench-peers
  triple=$(rustc -vV | sed -n 's/^host: //p')
  smoke_ours=$PWD/target/$triple/release/smoke-test smoke_hurl=${HURL_PROGRAM:-} smoke_oha=$peers/oha-$smoke_oha_version/bin/oha
  export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static"
  echo "bench: a release build of smoke-test takes some minutes when nothing is cached" >&2
  cargo build --quiet --locked --release --target "$triple" --package smoke-test >&2
  rustc --edition=2024 -Copt-level=2 -o "$smoke_work/server" tests/bench/smoke-test-server.rs
  scripts/bed packages time openssl >&2
  smoke_test_nginx >&2
  if any_wanted smoke-test-stall-p95 smoke-test-watch-cpu; then smoke_test_oha "$peers/oha-$smoke_oha_version"; fi
  if any_wanted smoke-test-tls-wall smoke-test-tls-memory; then
    smoke_test_checks tls "https://localhost:$smoke_tls"
    smoke_test_rounds tls
    smoke_test_row smoke-test-tls-wall tls.wall ms 50
    smoke_test_row smoke-test-tls-memory tls.memory MB 12
  fi
  if wanted smoke-test-slow-wall; then
    smoke_test_serve slow_port delay 100
    smoke_test_checks slow "http://127.0.0.1:$slow_port"
    smoke_test_rounds slow
    smoke_test_row smoke-test-slow-wall slow.wall ms 150
  fi
  if wanted smoke-test-stall-p95; then smoke_test_stall; fi
  if wanted smoke-test-watch-cpu; then smoke_test_watch; fi
  echo end
)

smoke_test() {
  if ! any_wanted "${smoke_test_names[@]}"; then return; fi
  scripts/bed up nginx
  if any_wanted smoke-test-tls-wall smoke-test-tls-memory smoke-test-slow-wall; then
    scripts/bed up hurl || echo "bench: hurl cannot be had here; its figures are left out" >&2
  fi
  . target/bed.env
  add_rows smoke_test_figures "smoke-test"
}

smoke_test
