# Apache as the server of launcher.sh.
# shellcheck shell=bash

SERVER_SIGNAL=WINCH
MODULES=/usr/lib/apache2/modules

write_server() {
    local conf="$RUN/apache2.conf" program module
    program=$(command -v apache2 || command -v httpd || echo /usr/sbin/apache2)
    [[ -x "$program" ]] || fail "the stack has no Apache: use heroku-php-nginx"
    {
        for module in mpm_event unixd authz_core authz_host access_compat alias auth_basic authn_core authn_file authz_user autoindex deflate dir env \
            expires filter headers log_config mime negotiation proxy proxy_fcgi proxy_http proxy_wstunnel remoteip reqtimeout rewrite setenvif status; do
            [[ ! -f "$MODULES/mod_$module.so" ]] || echo "LoadModule ${module}_module $MODULES/mod_$module.so"
        done
        cat <<CONF
ServerRoot "$RUN"
ServerName localhost
PidFile "$RUN/apache2.pid"
Mutex file:$RUN default
DefaultRuntimeDir "$RUN"
ErrorLog /proc/self/fd/2
LogLevel warn
TypesConfig /etc/mime.types
ServerTokens Prod
ServerSignature Off
TraceEnable Off
Timeout 60
# The router keeps connections for longer than it sends nothing.
KeepAlive On
KeepAliveTimeout 120
GracefulShutdownTimeout 20
Define HEROKU_APP_DIR "$HEROKU_APP_DIR"
Define DOCUMENT_ROOT "$DOCUMENT_ROOT"
CONF
        if [[ -n "${SITE:-}" ]]; then
            echo "Include \"$SITE\""
        else
            write_site
        fi
    } >"$conf"
    SERVER=("$program" -f "$conf" -D FOREGROUND)
}

write_site() {
    cat <<CONF
Listen $PORT
<Directory />
    Options FollowSymLinks
    AllowOverride None
    Require all denied
</Directory>
# The edge ends TLS.
SetEnvIf X-Forwarded-Proto "^https$" HTTPS=on
<VirtualHost *:$PORT>
    DocumentRoot "$DOCUMENT_ROOT"
    DirectoryIndex index.php index.html index.htm
    <Directory "$DOCUMENT_ROOT">
        Options FollowSymLinks
        AllowOverride All
        Require all granted
    </Directory>
    <FilesMatch "^(\.ht|\.user\.ini|\.env|composer\.(json|lock)|Procfile)">
        Require all denied
    </FilesMatch>
    <DirectoryMatch "^\Q$ROOT\E/(vendor|\.deis|\.profile\.d|\.git)(/|$)">
        Require all denied
    </DirectoryMatch>
    <FilesMatch "\.php$">
        <If "-f %{REQUEST_FILENAME}">
            SetHandler "proxy:unix:$SOCKET|fcgi://heroku-fcgi/"
        </If>
    </FilesMatch>
    <Proxy "fcgi://heroku-fcgi/">
        ProxySet timeout=600
    </Proxy>
CONF
    [[ -z "${SITE_INCLUDE:-}" ]] || echo "    Include \"$SITE_INCLUDE\""
    echo '</VirtualHost>'
}
