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
# same layers with the same crates, in turns with ours. Trivy, Grype and osv-scanner are in no package registry (the ones of these names are
# other programs), so their rows are empty.
image_scan_read_names=(image-scan-pull-cpu image-scan-memory image-scan-second image-scan-trivy image-scan-grype image-scan-osv-scanner)

# The image in $image_scan_image, made once; its digest is in the file `digest` there.
image_scan_make() {
  image_scan_image=${SHIPKIT_CACHE:-$HOME/.cache/shipkit}/bench-image-1
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

image_scan_read() {
  local triple bin image_scan_work image_scan_image image_scan_host image_scan_server image_scan_reference own least
  triple=$(rustc -vV | sed -n 's/^host: //p')
  bin=$PWD/target/$triple/release
  image_scan_work=$(mktemp -d)
  mkdir "$image_scan_work/empty"
  scripts/bed packages docker-registry time curl >&2
  echo "bench: a release build of image-scan takes some minutes when nothing is cached" >&2
  CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS='-C target-feature=+crt-static' cargo build --quiet --locked --release \
    --target "$triple" --package image-scan --bin image-scan --example image --example walk >&2
  image_scan_make "$bin"
  image_scan_registry
  for _ in $(seq "${BENCH_ROUNDS:-5}"); do
    image_scan_time least "$bin/examples/walk" "$image_scan_reference"
    image_scan_time own "$bin/image-scan" "$image_scan_reference" --dry-run
  done
  # The first fills the cache.
  for _ in $(seq "$((${BENCH_ROUNDS:-5} + 1))"); do
    image_scan_time second "$bin/image-scan" "$image_scan_reference" --dry-run --cache "$image_scan_work/cache"
  done
  sed -i 1d "$image_scan_work/second"
  kill "$image_scan_server"
  own=$(image_scan_column own 1)
  least=$(image_scan_column least 1)
  awk -v own="$own" -v least="$least" 'BEGIN {printf "image-scan-pull-cpu %.2f s \"pull,_hash,_unpack_alone\" %.2f <=_1.2_of_it %s\n", own, least, own <= 1.2 * least ? "true" : "false"}'
  image_scan_column own 2 | awk '{mb = $1 / 1000; printf "image-scan-memory %.1f MB - null <_64 %s\n", mb, mb < 64 ? "true" : "false"}'
  image_scan_column second 3 | awk '{ms = $1 * 1000; printf "image-scan-second %.0f ms - null <_150 %s\n", ms, ms < 150 ? "true" : "false"}'
  for peer in trivy grype osv-scanner; do echo "image-scan-$peer null s \"$peer\" null in_no_package_registry null"; done
  rm -rf "$image_scan_work"
  echo end
}

if any_wanted "${image_scan_read_names[@]}"; then
  add_rows image_scan_read "how an image is read"
fi
