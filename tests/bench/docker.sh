# docker: the size of the published image. Sourced by ./bench.

# The bytes that one platform of the published image takes in a registry: its configuration and its layers as they are stored.
# The goal is that of README and packaging. The registry is the one of scripts/bed, on the loopback.
image_size() {
  local architecture=$1 image stored holds=false
  image=$REGISTRY/shipkit-bench:$architecture
  printf 'bench: a release build for linux/%s takes some minutes when nothing is cached\n' "$architecture" >&2
  dist/build --platforms "linux/$architecture" --no-image >&2
  docker build --quiet --platform "linux/$architecture" --tag "$image" --file dist/Dockerfile "target/dist/linux-$architecture" >&2
  docker push --quiet "$image" >&2
  stored=$(docker manifest inspect --insecure "$image" | awk '/"size":/ {gsub(/[^0-9]/, ""); sum += $0} END {print sum + 0}')
  docker rmi "$image" > /dev/null
  if [ "$stored" -gt 0 ] && [ "$stored" -lt 15000000 ]; then holds=true; fi
  row "docker-image-$architecture-compressed" "$stored" bytes null null "< 15000000" "$holds"
}

images=()
for architecture in amd64 arm64; do
  if wanted "docker-image-$architecture-compressed"; then images+=("$architecture"); fi
done
if [ ${#images[@]} != 0 ]; then
  if ! scripts/bed running; then trap 'scripts/bed down' EXIT; fi
  scripts/bed up docker registry
  . target/bed.env
  for architecture in "${images[@]}"; do image_size "$architecture"; done
fi
