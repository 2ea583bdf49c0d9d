# Which grain engine this machine can build: sourced by ./run and ./test. Sets GRAIN_ENGINE and prints one line.
# Microsoft Orleans where its packages restore, else the in-process engine. GRAIN_ENGINE in the environment decides instead.

choose_engine() {
  local root=$1 memo key log
  if [ -n "${GRAIN_ENGINE:-}" ]; then
    case $GRAIN_ENGINE in
      Orleans | InProcess) mkdir -p "$root/src/Silo/obj" ;;
      *) echo "GRAIN_ENGINE: '$GRAIN_ENGINE' is not an engine. Allowed: Orleans, InProcess." >&2; return 2 ;;
    esac
    echo "Grain engine: $GRAIN_ENGINE (as GRAIN_ENGINE says)"
    return 0
  fi
  # The answer is kept beside what is built, until the wanted versions change.
  memo=$root/src/Silo/obj/grain-engine
  key=$(cat "$root/Directory.Packages.props" "$root/Directory.Build.props" | cksum)
  log=$root/src/Silo/obj/grain-engine.log
  mkdir -p "$(dirname "$memo")"
  if [ -f "$memo" ] && [ "$(sed -n 2p "$memo")" = "$key" ]; then
    GRAIN_ENGINE=$(sed -n 1p "$memo")
  elif dotnet restore "$root/src/Silo" -p:GrainEngine=Orleans -v:quiet > "$log" 2>&1; then
    GRAIN_ENGINE=Orleans
  elif grep -qE 'NU110[123]' "$log"; then
    # The feed answers, and does not have them.
    GRAIN_ENGINE=InProcess
  else
    echo "Whether the packages of Microsoft Orleans can be restored cannot be told. GRAIN_ENGINE=InProcess or GRAIN_ENGINE=Orleans decides by hand. The reason:" >&2
    tail -n 20 "$log" >&2
    return 2
  fi
  printf '%s\n%s\n' "$GRAIN_ENGINE" "$key" > "$memo"
  if [ "$GRAIN_ENGINE" = Orleans ]; then
    echo "Grain engine: Orleans"
  else
    echo "Grain engine: InProcess (the packages of Microsoft Orleans cannot be restored here)"
  fi
}

# Where the build of an engine puts its output: bin, or bin/orleans.
engine_bin() {
  if [ "$GRAIN_ENGINE" = Orleans ]; then echo bin/orleans; else echo bin; fi
}
