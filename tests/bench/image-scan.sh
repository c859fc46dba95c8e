# image-scan: how large an index of advisories is, and how long it takes to load and match it. Sourced by ./bench.
#
# The index is built out of the sets of records beside the checkout (../shared/data/osv), as `image-scan index build` builds it: Debian 12,
# all of Alpine, npm, PyPI, Go and Rust. What is matched is 425 source packages of Debian and 2,758 packages of npm: evenly over the names of
# the records, each in the version in which the newest of them was mended, and the rest packages that no record is about. Files, unpacking,
# matching and joining are all measured, the least of twenty times in one process. Without the records nothing is measured.

image_scan_names=(image-scan-index-size image-scan-index-match)

image_scan_index() {
  local triple records=../shared/data/osv set figures size milliseconds found count
  triple=$(rustc -vV | sed -n 's/^host: //p')
  if [ ! -f "$records/Debian.tar.zst" ]; then
    echo "image-scan-index-size null MB - null <_3 null"
    echo "image-scan-index-match null ms - null <_20 null"
    echo end
    return
  fi
  if ! command -v zstd > /dev/null; then
    echo "bench: installing zstd with apt-get" >&2
    apt-get install -qq --yes zstd >&2
  fi
  echo "bench: a release build of image-scan takes some minutes when nothing is cached" >&2
  CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS='-C target-feature=+crt-static' \
    cargo build --quiet --locked --release --target "$triple" --package image-scan --example index >&2
  local work
  work=$(mktemp -d)
  mkdir "$work/records" "$work/blobs"
  for set in Debian Alpine npm PyPI Go cargo; do
    zstd -qdc --long=26 "$records/$set.tar.zst" | tar -xf - -C "$work/records"
  done
  size=$("target/$triple/release/examples/index" "$work/records" "$work/blobs")
  figures=$("target/$triple/release/examples/index" "$work/blobs" 425 2758)
  rm -rf "$work"
  read -r milliseconds found count <<< "$figures"
  echo "bench: $found findings in $count packages" >&2
  awk -v size="$size" 'BEGIN {mb = size / 1e6; printf "image-scan-index-size %.2f MB - null <_3 %s\n", mb, mb < 3 ? "true" : "false"}'
  awk -v ms="$milliseconds" 'BEGIN {printf "image-scan-index-match %.1f ms - null <_20 %s\n", ms, ms < 20 ? "true" : "false"}'
  echo end
}

if any_wanted "${image_scan_names[@]}"; then
  add_rows image_scan_index "the index of advisories"
fi

# How an image is read: 113,000 entries and about 370 MB packed in five layers (crates/image-scan/examples/image.rs), at a registry of its own
# on the loopback. The peer of the first row is the least that it can cost: crates/image-scan/examples/walk.rs pulls, hashes and unpacks the
# same layers with the same crates, in turns with ours.
image_scan_read_names=(image-scan-pull-cpu image-scan-memory image-scan-second)

# The image in $image_scan_image, made once; its digest is in the file `digest` there.
image_scan_make() {
  image_scan_image=${SHIPKIT_CACHE:-$HOME/.cache/shipkit}/bench-image-2
  if [ -f "$image_scan_image/digest" ]; then return; fi
  echo "bench: making an image of 370 MB, once" >&2
  rm -rf "$image_scan_image" "$image_scan_image.new"
  "$1/examples/image" "$image_scan_image.new" > "$image_scan_work/made"
  cut -d' ' -f1 "$image_scan_work/made" > "$image_scan_image.new/digest"
  mv "$image_scan_image.new" "$image_scan_image"
}

# A registry with that image; its address is in $image_scan_host.
image_scan_registry() {
  local blob name location digest
  image_scan_host=
  cat > "$image_scan_work/registry.yml" <<EOF
version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $image_scan_work/storage}}
http: {addr: "127.0.0.1:0"}
EOF
  docker-registry serve "$image_scan_work/registry.yml" > "$image_scan_work/registry.log" 2>&1 &
  image_scan_server=$!
  for _ in $(seq 100); do
    image_scan_host=$(sed -n 's/.*listening on \(127.0.0.1:[0-9]*\).*/\1/p' "$image_scan_work/registry.log" | head -n 1)
    if [ -n "$image_scan_host" ]; then break; fi
    sleep 0.1
  done
  [ -n "$image_scan_host" ] || { cat "$image_scan_work/registry.log" >&2; return 1; }
  digest=$(cat "$image_scan_image/digest")
  for blob in "$image_scan_image"/blobs/sha256/*; do
    name=${blob##*/}
    if [ "sha256:$name" = "$digest" ]; then continue; fi
    location=$(curl -fsS -D - -o "$image_scan_work/answer" -X POST "http://$image_scan_host/v2/bench/image/blobs/uploads/" |
      tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
    curl -fsS -o "$image_scan_work/answer" -T "$blob" -H 'Content-Type: application/octet-stream' "$location&digest=sha256:$name"
  done
  curl -fsS -o "$image_scan_work/answer" -T "$image_scan_image/blobs/sha256/${digest#sha256:}" \
    -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' "http://$image_scan_host/v2/bench/image/manifests/$digest"
  image_scan_reference=$image_scan_host/bench/image@$digest
}

# CPU seconds, peak of memory in kilobytes and wall seconds of a program, as a line of the file NAME: image_scan_time NAME PROGRAM...
image_scan_time() {
  local name=$1
  shift
  (cd "$image_scan_work/empty" && exec env -u HOME -u XDG_CACHE_HOME /usr/bin/time -f '%U %S %M %e' -o "$image_scan_work/time" "$@") \
    > "$image_scan_work/said" 2>&1 || { cat "$image_scan_work/said" >&2; return 1; }
  awk '{print $1 + $2, $3, $4}' "$image_scan_work/time" >> "$image_scan_work/$name"
}

image_scan_column() { awk -v column="$2" '{print $column}' "$image_scan_work/$1" | median; }

# The image and a registry with it, in a folder that is removed in the end: image_scan_begin EXAMPLE...
image_scan_begin() {
  local triple example examples=()
  triple=$(rustc -vV | sed -n 's/^host: //p')
  image_scan_bin=$PWD/target/$triple/release
  image_scan_work=$(mktemp -d)
  mkdir "$image_scan_work/empty"
  scripts/bed packages docker-registry time curl >&2
  echo "bench: a release build of image-scan takes some minutes when nothing is cached" >&2
  for example in "$@"; do examples+=(--example "$example"); done
  CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS='-C target-feature=+crt-static' cargo build --quiet --locked --release \
    --target "$triple" --package image-scan --bin image-scan "${examples[@]}" >&2
  image_scan_make "$image_scan_bin"
  image_scan_registry
}

image_scan_end() {
  kill "$image_scan_server"
  rm -rf "$image_scan_work"
  echo end
}

image_scan_read() {
  local image_scan_bin image_scan_work image_scan_image image_scan_host image_scan_server image_scan_reference own least
  image_scan_begin image walk
  for _ in $(seq "${BENCH_ROUNDS:-5}"); do
    image_scan_time least "$image_scan_bin/examples/walk" "$image_scan_reference"
    image_scan_time own "$image_scan_bin/image-scan" "$image_scan_reference" --dry-run
  done
  # The first fills the cache.
  for _ in $(seq "$((${BENCH_ROUNDS:-5} + 1))"); do
    image_scan_time second "$image_scan_bin/image-scan" "$image_scan_reference" --dry-run --cache "$image_scan_work/cache"
  done
  sed -i 1d "$image_scan_work/second"
  own=$(image_scan_column own 1)
  least=$(image_scan_column least 1)
  awk -v own="$own" -v least="$least" 'BEGIN {printf "image-scan-pull-cpu %.2f s \"pull,_hash,_unpack_alone\" %.2f <=_1.2_of_it %s\n", own, least, own <= 1.2 * least ? "true" : "false"}'
  image_scan_column own 2 | awk '{mb = $1 / 1000; printf "image-scan-memory %.1f MB - null <_64 %s\n", mb, mb < 64 ? "true" : "false"}'
  image_scan_column second 3 | awk '{ms = $1 * 1000; printf "image-scan-second %.0f ms - null <_150 %s\n", ms, ms < 150 ? "true" : "false"}'
  image_scan_end
}

if any_wanted "${image_scan_read_names[@]}"; then
  add_rows image_scan_read "how an image is read"
fi

# Other scanners on the same image, as CPU seconds, with nothing kept from before (cold) and with what a scan keeps (warm). osv-scanner has
# the same advisories as ours: as the archives of OSV there, as an index at the registry here. It keeps nothing between scans. The database
# of Trivy cannot be had, so both only list packages there: CycloneDX there, and here a scan without advisories. That of Grype cannot be had
# either, without which it does nothing. osv-scanner and Trivy are built once, as modules of Go, which takes a quarter of an hour; they read the image from
# an archive, and ours pulls it. What cannot be built, or has no advisories here, has an empty row.
image_scan_peer_names=(image-scan-osv-scanner image-scan-osv-scanner-warm image-scan-trivy image-scan-trivy-warm image-scan-grype)

# The path of a peer, built if it is not there, or nothing: image_scan_peer NAME MODULE VERSION
image_scan_peer() {
  local folder=${SHIPKIT_CACHE:-$HOME/.cache/shipkit}/bench-peers/$1-$3 go
  if [ ! -x "$folder/$1" ]; then
    echo "bench: building $1 $3 as a module of Go, once" >&2
    go=$(scripts/bed-kubernetes go) || return 0
    GOBIN=$folder GOEXPERIMENT=jsonv2 "$go" install -ldflags '-s -w' "$2/cmd/$1@$3" > "$image_scan_work/built" 2>&1 ||
      { tail -n 3 "$image_scan_work/built" >&2; return 0; }
  fi
  echo "$folder/$1"
}

# A row of a peer: image_scan_row NAME PEER OWN-FILE PEER-FILE
image_scan_row() {
  local own peer
  own=$(image_scan_column "$3" 1)
  peer=$(image_scan_column "$4" 1)
  awk -v name="$1" -v what="$2" -v own="$own" -v peer="$peer" \
    'BEGIN {printf "%s %.2f s \"%s\" %.2f less %s\n", name, own, what, peer, own < peer ? "true" : "false"}'
}

# The advisories: archives for osv-scanner, an index for ours, and a configuration that names it.
image_scan_advisories() {
  local records=../shared/data/osv set index
  mkdir -p "$image_scan_work/records" "$image_scan_work/empty"
  for set in Debian npm PyPI Go cargo; do
    zstd -qdc --long=26 "$records/$set.tar.zst" | tar -xf - -C "$image_scan_work/records"
  done
  for set in "$image_scan_work/records"/*; do
    mkdir -p "$image_scan_work/db/osv-scalibr/${set##*/}"
    (cd "$set" && find . -name '*.json' | zip -q -1 -@ "$image_scan_work/db/osv-scalibr/${set##*/}/all.zip")
  done
  "$image_scan_bin/image-scan" index build "$image_scan_work/records" "$image_scan_host/bench/advisories" > "$image_scan_work/said" 2>&1 ||
    { cat "$image_scan_work/said" >&2; return 1; }
  index=$(grep -o "$image_scan_host/bench/advisories@sha256:[0-9a-f]*" "$image_scan_work/said" | tail -n 1)
  [ -n "$index" ] || { cat "$image_scan_work/said" >&2; return 1; }
  cat > "$image_scan_work/empty/shipkit.yml" <<EOF
version: 1
name: bench
services: {image: {build: {}}}
scan: {image: {advisories: "$index"}}
environments: {staging: {branches: [main], target: {type: swarm, files: [c.yml]}}}
EOF
}

image_scan_peers() {
  local image_scan_bin image_scan_work image_scan_image image_scan_host image_scan_server image_scan_reference osv trivy archive own
  image_scan_begin image
  scripts/bed packages zstd zip >&2
  osv=
  if [ -f ../shared/data/osv/Debian.tar.zst ]; then osv=$(image_scan_peer osv-scanner github.com/google/osv-scanner/v2 v2.5.0); fi
  trivy=$(image_scan_peer trivy github.com/aquasecurity/trivy v0.74.0)
  archive=$image_scan_work/image.tar
  tar -cf "$archive" -C "$image_scan_image" manifest.json blobs
  own=("$image_scan_bin/image-scan" "$image_scan_reference" --dry-run)
  # It fills the cache.
  image_scan_time filled "${own[@]}" --cache "$image_scan_work/cache"
  if [ -n "$osv" ]; then
    image_scan_advisories
    for _ in $(seq "${BENCH_ROUNDS:-3}"); do
      image_scan_time own "${own[@]}"
      image_scan_time osv "$osv" scan image --offline --local-db-path "$image_scan_work/db" --archive "$archive" --format json
      image_scan_time warm "${own[@]}" --cache "$image_scan_work/cache"
    done
    image_scan_row image-scan-osv-scanner osv-scanner own osv
    image_scan_row image-scan-osv-scanner-warm osv-scanner warm osv
    rm "$image_scan_work/empty/shipkit.yml"
  else
    echo "image-scan-osv-scanner null s \"osv-scanner\" null cannot_be_had null"
    echo "image-scan-osv-scanner-warm null s \"osv-scanner\" null cannot_be_had null"
  fi
  if [ -n "$trivy" ]; then
    for _ in $(seq "${BENCH_ROUNDS:-3}"); do
      rm -rf "$image_scan_work/trivy"
      image_scan_time listed "${own[@]}"
      for kept in cold warm; do
        image_scan_time "trivy-$kept" "$trivy" image --quiet --cache-dir "$image_scan_work/trivy" --offline-scan --skip-version-check \
          --format cyclonedx --input "$archive"
      done
      image_scan_time listed-warm "${own[@]}" --cache "$image_scan_work/cache"
    done
    image_scan_row image-scan-trivy trivy,_packages_only listed trivy-cold
    image_scan_row image-scan-trivy-warm trivy,_packages_only listed-warm trivy-warm
  else
    echo "image-scan-trivy null s \"trivy\" null cannot_be_built null"
    echo "image-scan-trivy-warm null s \"trivy\" null cannot_be_built null"
  fi
  echo "image-scan-grype null s \"grype\" null its_database_cannot_be_had null"
  image_scan_end
}

if any_wanted "${image_scan_peer_names[@]}"; then
  add_rows image_scan_peers "how other scanners read an image"
fi
