export RAILS_ENV="${RAILS_ENV:-production}" RAILS_SERVE_STATIC_FILES="${RAILS_SERVE_STATIC_FILES:-enabled}"
export RAILS_LOG_TO_STDOUT="${RAILS_LOG_TO_STDOUT:-enabled}"
if [ -z "${SECRET_KEY_BASE:-}${RAILS_MASTER_KEY:-}" ] && [ ! -f "$HOME/config/master.key" ] && [ "$RAILS_ENV" = production ]; then
    echo 'SECRET_KEY_BASE is not set: this process makes up one for itself, with which sessions end. Set it by' \
        '`deis config:set SECRET_KEY_BASE=$(openssl rand -hex 64)`' >&2
    SECRET_KEY_BASE=$(od -An -N64 -tx1 /dev/urandom | tr -d ' \n')
    export SECRET_KEY_BASE
fi
