#!/bin/sh
# Installs the clients of the driver tests that are too large for configs/packages.txt: pgjdbc with a JDK, pgx with Go, and the modules
# of node. As root where a package is missing; about 900 MB.
#
#   tests/drivers/install.sh FOLDER
#   SEGUE_DRIVERS=FOLDER tests/run.sh -R drivers
set -eu

folder=${1:?a folder}
packages="libpostgresql-jdbc-java default-jdk-headless golang-go golang-github-jackc-pgx-v4-dev"
command -v npm >/dev/null || packages="$packages npm"
missing=
for package in $packages; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "run as root: apt-get update && apt-get install -y --no-install-recommends$missing" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update
  # shellcheck disable=SC2086
  apt-get install -y --no-install-recommends $missing
fi
mkdir -p "$folder"
folder=$(cd "$folder" && pwd) # The tests run elsewhere.
npm install --prefix "$folder" --no-audit --no-fund pg@8 pg-cursor@2 postgres@3
echo "now: SEGUE_DRIVERS=$folder tests/run.sh -R drivers"
