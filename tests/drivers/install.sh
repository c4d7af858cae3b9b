#!/bin/sh
# Installs the clients of the driver tests that are too large for configs/packages.txt: pgjdbc with a JDK, pgx with Go, and the modules
# of node. As root; about 900 MB.
#
#   tests/drivers/install.sh FOLDER
#   SEGUE_DRIVERS=FOLDER tests/run.sh -R drivers
set -eu

folder=${1:?a folder}
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y --no-install-recommends libpostgresql-jdbc-java default-jdk-headless golang-go golang-github-jackc-pgx-v4-dev
command -v npm >/dev/null || apt-get install -y --no-install-recommends npm
mkdir -p "$folder"
npm install --prefix "$folder" --no-audit --no-fund pg@8 pg-cursor@2 postgres@3
