#!/bin/sh
# Stands in for nginx-prometheus-exporter 1.x where only Debian's 0.11 can be had: takes the newer command line and
# starts the older program with the same meaning. Used by the simulator only; a real deployment runs the image's own.
#
#   --no-NAME                  -> -NAME=false
#   --web.config.file=FILE     -> -web.secured-metrics with the certificate and key that FILE names, or nothing
#
# 0.11 gives up when nginx does not answer at its start; 1.x keeps trying, so retries are turned on.
set -eu
# The two programs lie side by side, in whatever folder a container sees them.
exporter=${0%/*}/prometheus-nginx-exporter
config=

count=$#
while [ "$count" -gt 0 ]; do
    argument=$1
    shift
    count=$((count - 1))
    case $argument in
        --no-*) set -- "$@" "-${argument#--no-}=false" ;;
        --web.config.file=*) config=${argument#*=} ;;
        *) set -- "$@" "$argument" ;;
    esac
done

# One scalar out of the web configuration, written in block or in flow style.
setting() {
    sed -nE "s/.*$1[\"']?: *[\"']?([^\"',} ]+).*/\1/p" "$config" | head -n 1
}

if [ -n "$config" ]; then
    if [ ! -r "$config" ]; then
        echo "cannot read the web configuration $config" >&2
        exit 1
    fi
    certificate=$(setting cert_file)
    key=$(setting key_file)
    if [ -n "$certificate" ] && [ -n "$key" ]; then
        set -- "$@" -web.secured-metrics "-web.ssl-server-cert=$certificate" "-web.ssl-server-key=$key"
    fi
fi

exec "$exporter" -nginx.retries=1000000 -nginx.retry-interval=1s "$@"
