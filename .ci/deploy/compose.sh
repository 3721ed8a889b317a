# Sourced, in the directory of the workspace: `compose` is then the command of a docker compose that knows deploy/compose.public.yml
# (2.24.4 or later, for `!override`), or empty where there is none. Debian's package of it will do: the one program is taken out of
# the package, of the release after this machine's if need be, and nothing is installed.

compose=()
compose_unpacked=target/tools/compose

compose_will_do() { # command...
  local version
  version=$("$@" version --short 2> /dev/null) || return 1
  [ "$(printf '%s\n2.24.4\n' "${version#v}" | sort -V | head -n 1)" = 2.24.4 ]
}

compose_from_debian() {
  mkdir -p "$compose_unpacked"
  (
    cd "$compose_unpacked"
    mkdir -p apt/lists/partial apt/archives/partial
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep '/debian/$' | head -n 1)
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" > apt/sources.list
    options=(-o Dir::Etc::sourcelist="$PWD/apt/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$PWD/apt/lists"
      -o Dir::Cache="$PWD/apt" -o APT::Sandbox::User=root)
    apt-get "${options[@]}" update -qq
    apt-get "${options[@]}" download -qq docker-compose
    dpkg-deb -x docker-compose_*.deb .
    rm -r apt docker-compose_*.deb
  ) > /dev/null 2>&1
}

compose_plugin=$PWD/$compose_unpacked/usr/libexec/docker/cli-plugins/docker-compose
if compose_will_do docker compose; then
  compose=(docker compose)
elif compose_will_do docker-compose; then
  compose=(docker-compose)
elif [ -x "$compose_plugin" ] || { compose_from_debian && compose_will_do "$compose_plugin"; }; then
  compose=("$compose_plugin")
fi
