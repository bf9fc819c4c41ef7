#!/usr/bin/env bash
# Chromium for the tests of the zoo's page, from Debian's packages, where it is missing and this user may install it.
# Never fails: without a browser those tests skip, saying so. CHROMIUM names another executable.
set -u

if [[ -n "${CHROMIUM:-}" ]] || command -v chromium >/dev/null; then
    exit 0
fi
if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    echo "no chromium here, and no way to install it: the page's browser tests will be skipped (apt-get install chromium)" >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
install() { apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null 2>&1; }
echo "installing chromium for the browser tests" >&2
install || { apt-get update -qq >/dev/null 2>&1; install; } ||
    echo "chromium could not be installed: the page's browser tests will be skipped" >&2
exit 0
