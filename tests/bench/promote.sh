# Promotion: a 300 MB image of twelve layers, and an index of two, from one repository to another. Sourced by ./bench.
#
# Ours is crates/shipkit-registry/examples/copy.rs, a program around `Registry::copy`, against crane, oras and skopeo in the same
# run, at Debian's docker-registry on the loopback, once directly and once over a line with 40 ms of added round trip, which also
# counts requests and bytes (tests/examples/slow-wire.rs). Each tool copies into a repository of its own each time; walls are
# medians of $BENCH_ROUNDS, 10 by default. Nothing of the peers is configured but plain HTTP.

promote_names=(promote-same-registry-requests promote-same-registry-index-requests promote-same-registry-wall
  promote-same-registry-rtt40-wall promote-two-registries-bytes promote-two-registries-memory promote-two-registries-wall
  promote-two-registries-rtt40-wall build-tag-retag-requests)

# crane and oras out of Debian's packages, kept in the cache; skopeo from the release of this machine. A peer that cannot be had is
# left out, and says so.
promote_peers() {
  local bin=$1 lists options peer
  mkdir -p "$bin"
  for peer in crane oras; do
    if [ -x "$bin/$peer" ]; then continue; fi
    echo "bench: fetching $peer of Debian sid with apt into $bin" >&2
    lists=$(mktemp -d)
    mkdir -p "$lists/lists/partial" "$lists/archives/partial"
    scripts/bed apt-sources sid | sed -n 1p > "$lists/sources.list"
    options=(-o "Dir::Etc::sourcelist=$lists/sources.list" -o Dir::Etc::sourceparts=/dev/null
      -o "Dir::State::lists=$lists/lists" -o "Dir::Cache::archives=$lists/archives"
      -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o "APT::Sandbox::User=$(id -un)")
    apt-get -qq "${options[@]}" update >&2 &&
      (cd "$lists" && apt-get -qq "${options[@]}" download "$peer" >&2) &&
      dpkg-deb --fsys-tarfile "$lists/$peer"_*.deb | tar -xO "./usr/bin/$peer" > "$bin/$peer.part" &&
      chmod 755 "$bin/$peer.part" && mv "$bin/$peer.part" "$bin/$peer" ||
      echo "bench: $peer cannot be had here; its figures are left out" >&2
    rm -rf "$lists"
  done
  command -v skopeo > /dev/null || scripts/bed packages skopeo >&2 ||
    echo "bench: skopeo cannot be had here; its figures are left out" >&2
}

# Runs skopeo as on a fresh runner: what it remembers of registries it has seen would make the second copy another one.
promote_skopeo() {
  if [ "$(id -u)" = 0 ]; then
    mkdir -p /var/lib/containers/cache
    unshare --mount sh -c 'mount -t tmpfs tmpfs /var/lib/containers/cache && exec "$@"' sh "$@"
  else
    XDG_DATA_HOME=$(mktemp -d -p "$promote_work") "$@"
  fi
}

# promote_copy TOOL SOURCE@DIGEST REPOSITORY TAG
promote_copy() {
  case $1 in
    ours) "$promote_ours" image "$2" "$3" "$4" ;;
    crane) "$promote_bin/crane" copy --insecure "$2" "$3:$4" ;;
    oras) "$promote_bin/oras" cp --from-plain-http --to-plain-http "$2" "$3:$4" ;;
    skopeo) promote_skopeo skopeo copy --quiet --all --src-tls-verify=false --dest-tls-verify=false "docker://$2" "docker://$3:$4" ;;
  esac > "$promote_work/said" 2>&1 || { cat "$promote_work/said" >&2; return 1; }
}

# The seconds that one copy takes: promote_wall TOOL SOURCE-HOST DESTINATION-HOST DIGEST
promote_wall() {
  local began ended
  promote_fresh=$((promote_fresh + 1))
  # What the one before wrote is not for this one to wait for.
  sync
  began=$EPOCHREALTIME
  promote_copy "$1" "$2/bench/source@$4" "$3/bench/$1-$promote_fresh" v1
  ended=$EPOCHREALTIME
  awk -v a="$began" -v b="$ended" 'BEGIN {printf "%.3f\n", b - a}'
}

# A registry with storage of its own; prints its address.
promote_registry() {
  local name=$1 address=
  printf 'version: 0.1\nlog: {level: info, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: "127.0.0.1:0"}\n' \
    "$promote_work/$name" > "$promote_work/$name.yml"
  docker-registry serve "$promote_work/$name.yml" > "$promote_work/$name.log" 2>&1 &
  promote_started+=($!)
  for _ in $(seq 100); do
    address=$(sed -n 's/.*listening on \([0-9.:]*\).*/\1/p' "$promote_work/$name.log")
    if [ -n "$address" ]; then break; fi
    sleep 0.1
  done
  [ -n "$address" ] || { cat "$promote_work/$name.log" >&2; return 1; }
  printf -v "promote_$name" %s "$address"
}

# A line to a registry: promote_line NAME ADDRESS ROUND-TRIP-MS sets promote_NAME to its address and promote_NAME_door to its counter's.
promote_line() {
  local addresses=
  "$promote_lines" --to "$2" --round-trip "$3" > "$promote_work/$1.line" &
  promote_started+=($!)
  for _ in $(seq 100); do
    read -r addresses < "$promote_work/$1.line" || true
    if [ -n "$addresses" ]; then break; fi
    sleep 0.1
  done
  printf -v "promote_$1" %s "${addresses% *}"
  printf -v "promote_$1_door" %s "${addresses#* }"
}

# What went over a line since it was asked last: `requests sent received`.
promote_counted() {
  local figures
  exec 5<> "/dev/tcp/${1%:*}/${1#*:}"
  read -r figures <&5
  exec 5>&-
  echo "$figures"
}

# The best peer of lines `figure tool`: `"tool" figure`, or `null null` where there is none.
promote_best() { sort -n | awk 'NR == 1 {print "\"" $2 "\"", $1} END {if (!NR) print "null null"}'; }

promote_tools() {
  local tool
  for tool in crane oras; do if [ -x "$promote_bin/$tool" ]; then echo "$tool"; fi; done
  if command -v skopeo > /dev/null; then echo skopeo; fi
}

# A row of walls: promote_walls NAME SOURCE-HOST DESTINATION-HOST FACTOR GOAL. Ours must be at most FACTOR of the best peer's. All
# take turns, so that what else happens on the machine happens to each.
promote_walls() {
  local name=$1 tool round ours peer peer_value
  if ! wanted "$name"; then return; fi
  for round in $(seq "${BENCH_ROUNDS:-10}"); do
    for tool in ours $(promote_tools); do
      promote_wall "$tool" "$2" "$3" "$promote_single" >> "$promote_work/$name.$tool"
    done
  done
  ours=$(median < "$promote_work/$name.ours")
  read -r peer peer_value < <(for tool in $(promote_tools); do
    echo "$(median < "$promote_work/$name.$tool") $tool"
  done | promote_best)
  echo "$name $ours s $peer $peer_value $5 $(awk -v a="$ours" -v b="$peer_value" -v f="$4" 'BEGIN {print b == "null" ? "null" : a <= b * f ? "true" : "false"}')"
}

# A row of requests inside one registry: promote_requests NAME DIGEST MOST
promote_requests() {
  local name=$1 tool ours peer peer_value
  if ! wanted "$name"; then return; fi
  for tool in ours $(promote_tools); do
    promote_counted "$promote_line_door" > /dev/null
    promote_wall "$tool" "$promote_line" "$promote_line" "$2" > /dev/null
    echo "$(promote_counted "$promote_line_door" | cut -d' ' -f1) $tool" >> "$promote_work/$name"
  done
  ours=$(sed -n 's/ ours//p' "$promote_work/$name")
  read -r peer peer_value < <(grep -v ours "$promote_work/$name" | promote_best)
  echo "$name $ours requests $peer $peer_value <=_$3 $([ "$ours" -le "$3" ] && echo true || echo false)"
}

# Bytes over both lines together, twice the image at best, and the memory that this takes.
promote_traffic() {
  local tool image=$1 down up peer peer_value value timed=()
  for tool in ours $(promote_tools); do
    promote_counted "$promote_line_door" > /dev/null
    promote_counted "$promote_other_line_door" > /dev/null
    promote_wall "$tool" "$promote_line" "$promote_other_line" "$promote_single" > /dev/null
    down=$(promote_counted "$promote_line_door" | cut -d' ' -f3)
    up=$(promote_counted "$promote_other_line_door" | cut -d' ' -f2)
    echo "$(awk -v d="$down" -v u="$up" -v i="$image" 'BEGIN {printf "%.5f", (d > u ? d : u) / i}') $tool"
  done > "$promote_work/bytes"
  if wanted promote-two-registries-bytes; then
    value=$(sed -n 's/ ours//p' "$promote_work/bytes")
    read -r peer peer_value < <(grep -v ours "$promote_work/bytes" | promote_best)
    echo "promote-two-registries-bytes $value x $peer $peer_value <=_1.001 $(awk -v v="$value" 'BEGIN {print v <= 1.001 ? "true" : "false"}')"
  fi
  if ! wanted promote-two-registries-memory; then return; fi
  for tool in ours $(promote_tools); do
    promote_fresh=$((promote_fresh + 1))
    timed=(/usr/bin/time -f %M -o "$promote_work/peak")
    case $tool in
      ours) set -- "$promote_ours" image "$promote_first/bench/source@$promote_single" "$promote_second/bench/m-$promote_fresh" v1 ;;
      crane) set -- "$promote_bin/crane" copy --insecure "$promote_first/bench/source@$promote_single" "$promote_second/bench/m-$promote_fresh:v1" ;;
      oras) set -- "$promote_bin/oras" cp --from-plain-http --to-plain-http "$promote_first/bench/source@$promote_single" "$promote_second/bench/m-$promote_fresh:v1" ;;
      skopeo) set -- skopeo copy --quiet --src-tls-verify=false --dest-tls-verify=false "docker://$promote_first/bench/source@$promote_single" "docker://$promote_second/bench/m-$promote_fresh:v1" ;;
    esac
    if [ "$tool" = skopeo ]; then promote_skopeo "${timed[@]}" "$@"; else "${timed[@]}" "$@"; fi > /dev/null 2>&1
    echo "$(awk -v k="$(cat "$promote_work/peak")" 'BEGIN {printf "%.1f", k * 1024 / 1000000}') $tool"
  done > "$promote_work/memory"
  value=$(sed -n 's/ ours//p' "$promote_work/memory")
  read -r peer peer_value < <(grep -v ours "$promote_work/memory" | promote_best)
  echo "promote-two-registries-memory $value MB $peer $peer_value <=_20 $(awk -v v="$value" 'BEGIN {print v <= 20 ? "true" : "false"}')"
}

# Twenty services with five tags each, all of which name an older image. A tag takes three requests (what does it name, write, read
# back) and a service one more (the manifest): no peer reads back, so none is measured.
promote_retag() {
  local service images=() old=() value
  if ! wanted build-tag-retag-requests; then return; fi
  for service in $(seq 20); do
    old+=("$promote_line/bench/service-$service@$("$promote_ours" seed "$promote_first/bench/service-$service" "old-$service" 0 0)")
    images+=("$promote_line/bench/service-$service@$("$promote_ours" seed "$promote_first/bench/service-$service" "new-$service" 0 0)")
  done
  "$promote_ours" tags 1.2.3,1.2,1,main,latest "${old[@]}" > /dev/null
  promote_counted "$promote_line_door" > /dev/null
  "$promote_ours" tags 1.2.3,1.2,1,main,latest "${images[@]}" > /dev/null
  value=$(promote_counted "$promote_line_door" | cut -d' ' -f1)
  echo "build-tag-retag-requests $value requests null null <=_320_=_20*(1+5*3) $([ "$value" -le 320 ] && echo true || echo false)"
}

# Prints the rows, a line each, and `end`. In a shell of its own, so that whatever happens ends what it started.
promote_figures() (
  promote_work=$(mktemp -d) promote_fresh=0 promote_started=()
  trap 'if [ ${#promote_started[@]} != 0 ]; then kill "${promote_started[@]}" 2> /dev/null || true; fi; rm -rf "$promote_work"' EXIT
  promote_bin=${SHIPKIT_CACHE:-$HOME/.cache/shipkit}/bench-peers
  triple=$(rustc -vV | sed -n 's/^host: //p')
  promote_ours=target/$triple/release/examples/copy promote_lines=target/$triple/debug/examples/slow-wire
  export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static"
  cargo build --quiet --locked --release --target "$triple" --package shipkit-registry --example copy >&2
  cargo build --quiet --locked --target "$triple" --package shipkit-tests --example slow-wire >&2
  scripts/bed packages docker-registry time >&2
  promote_peers "$promote_bin"
  promote_registry first
  promote_registry second
  echo "bench: making two images of 300 MB" >&2
  promote_single=$("$promote_ours" seed "$promote_first/bench/source" amd64 12 25)
  arm64=$("$promote_ours" seed "$promote_first/bench/source" arm64 12 25)
  promote_index=$("$promote_ours" index "$promote_first/bench/source" "$promote_single" "$arm64")
  promote_line line "$promote_first" 40
  promote_line other_line "$promote_second" 40
  promote_requests promote-same-registry-requests "$promote_single" 16
  promote_requests promote-same-registry-index-requests "$promote_index" 34
  if wanted promote-two-registries-bytes || wanted promote-two-registries-memory; then promote_traffic $((12 * 25 * 1024 * 1024)); fi
  promote_walls promote-same-registry-wall "$promote_first" "$promote_first" 1 "<=_best_peer"
  promote_walls promote-same-registry-rtt40-wall "$promote_line" "$promote_line" 0.5 "<=_half_of_best_peer"
  promote_walls promote-two-registries-wall "$promote_first" "$promote_second" 1 "<=_best_peer"
  promote_walls promote-two-registries-rtt40-wall "$promote_line" "$promote_other_line" 1 "<=_best_peer"
  promote_retag
  echo end
)

if any_wanted "${promote_names[@]}"; then add_rows promote_figures promotion; fi
