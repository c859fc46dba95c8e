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
