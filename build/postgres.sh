# Sourced by .ci/run: a PostgreSQL server of its own for the tests, on a free loopback port, in a folder that goes when the script ends.
# start_postgres: sets KLINE_POSTGRES where it started one; says why where it did not.

# The folder of initdb and pg_ctl: the newest that is installed.
find_postgres() {
  local dir
  dir=$( (pg_config --bindir 2> /dev/null || true; ls -d /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql*/bin 2> /dev/null || true) |
    while read -r bin; do [ -x "$bin/initdb" ] && [ -x "$bin/pg_ctl" ] && echo "$bin"; done | sort -V | tail -n 1)
  [ -n "$dir" ] && echo "$dir"
}

# PostgreSQL does not run as root.
as_postgres() {
  if [ "$(id -u)" -eq 0 ]; then
    (cd / && runuser -u postgres -- "$@")
  else
    "$@"
  fi
}

stop_postgres() {
  if [ -n "${postgres_data:-}" ]; then
    as_postgres "$postgres_bin/pg_ctl" -D "$postgres_data/data" -m immediate -s stop > /dev/null 2>&1 || true
    rm -rf "$postgres_data"
    postgres_data=
  fi
}

start_postgres() {
  if [ -n "${KLINE_POSTGRES:-}" ]; then
    return
  fi
  if ! postgres_bin=$(find_postgres); then
    echo "PostgreSQL is not installed: its tests are skipped, by name."
    return
  fi
  postgres_data=$(mktemp -d)
  trap stop_postgres EXIT
  local password port
  password=$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')
  printf '%s' "$password" > "$postgres_data/password"
  if [ "$(id -u)" -eq 0 ]; then
    chown -R postgres "$postgres_data"
  fi
  # A port that nobody listens on now.
  for port in $(shuf -i 20000-32000 -n 20); do
    (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null || break
  done
  # No flush to the disk: this one is thrown away, and the tests kill servers of klines, not the database.
  if as_postgres "$postgres_bin/initdb" -D "$postgres_data/data" -U kline -A scram-sha-256 --pwfile="$postgres_data/password" -E UTF8 --locale=C > "$postgres_data/log" 2>&1 &&
    as_postgres "$postgres_bin/pg_ctl" -D "$postgres_data/data" -l "$postgres_data/data/log" -w -s \
      -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off -c max_connections=200" start >> "$postgres_data/log" 2>&1; then
    export KLINE_POSTGRES="Host=127.0.0.1;Port=$port;Database=postgres;Username=kline;Password=$password"
    # The clients' tools, for the tests of copies.
    export PATH=$PATH:$postgres_bin
  else
    echo "PostgreSQL did not start: its tests are skipped, by name. The reason:"
    tail -n 5 "$postgres_data/log" "$postgres_data/data/log" 2> /dev/null || true
    stop_postgres
  fi
}
