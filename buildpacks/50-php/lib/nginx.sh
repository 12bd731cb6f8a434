# nginx as the server of launcher.sh.
# shellcheck shell=bash

SERVER_SIGNAL=QUIT

write_server() {
    local conf="$RUN/nginx.conf" program
    program=$(command -v nginx || echo /usr/sbin/nginx)
    [[ -x "$program" ]] || fail "the stack has no nginx: use heroku-php-apache2"
    {
        cat <<CONF
daemon off;
worker_processes auto;
pid $RUN/nginx.pid;
error_log stderr warn;
worker_shutdown_timeout 20s;
events { worker_connections 1024; }
http {
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log off;
    server_tokens off;
    sendfile on;
    # The router keeps connections for longer than it sends nothing.
    keepalive_timeout 120s;
    client_max_body_size 0;
    client_body_temp_path $RUN/body;
    proxy_temp_path $RUN/proxy;
    fastcgi_temp_path $RUN/fastcgi;
    uwsgi_temp_path $RUN/uwsgi;
    scgi_temp_path $RUN/scgi;
    # The edge ends TLS.
    map \$http_x_forwarded_proto \$fastcgi_https { default ''; https on; }
    upstream heroku-fcgi { server unix:$SOCKET; keepalive 16; }
CONF
        if [[ -n "${SITE:-}" ]]; then echo "    include $SITE;"; else write_site; fi
        echo '}'
    } >"$conf"
    SERVER=("$program" -c "$conf" -e stderr)
}

# Configurations that apps include send requests to PHP by `try_files @heroku-fcgi @heroku-fcgi;`.
write_site() {
    cat <<CONF
    server {
        listen $PORT;
        server_name localhost;
        root "$DOCUMENT_ROOT";
        port_in_redirect off;
        absolute_redirect off;
        location ~ /(\.ht|\.user\.ini|\.env|\.git|\.deis|\.profile\.d) { deny all; }
CONF
    if [[ "$DOCUMENT_ROOT" == "$ROOT" ]]; then
        echo '        location ~ ^/(vendor/|composer\.(json|lock)$|Procfile$) { deny all; }'
    fi
    if [[ -n "${SITE_INCLUDE:-}" ]]; then
        echo "        include $SITE_INCLUDE;"
    else
        echo '        location / { index index.php index.html index.htm; }'
    fi
    cat <<'CONF'
        location @heroku-fcgi {
            fastcgi_split_path_info ^(.+\.php)(/.*)$;
            include /etc/nginx/fastcgi_params;
            fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
            fastcgi_param PATH_INFO $fastcgi_path_info if_not_empty;
            fastcgi_param HTTPS $fastcgi_https if_not_empty;
            # The address of a header named Proxy is nobody's proxy.
            fastcgi_param HTTP_PROXY '';
            fastcgi_keep_conn on;
            fastcgi_read_timeout 600s;
            # A name that is no file goes no further.
            if (!-f $document_root$fastcgi_script_name) { return 404; }
            fastcgi_pass heroku-fcgi;
        }
        location ~ \.php(/|$) { try_files @heroku-fcgi @heroku-fcgi; }
    }
CONF
}
