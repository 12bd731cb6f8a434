# Versions of JavaScript's programs that several packs install.
# shellcheck shell=bash
# shellcheck disable=SC2034

# Node.js and npm of the long-term release: runs apps that ask for nothing else, and finds other versions.
NODE_VERSION=24.19.0
# For apps that name no version of Yarn 1.
YARN_VERSION=1.22.22
# For apps that name no version of pnpm.
PNPM_VERSION=10.34.9
