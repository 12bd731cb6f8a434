# The memory limit of a container. Source it, or put it in front of what needs it.
# shellcheck shell=bash

# memory_limit_bytes: the bytes that the container may use; nothing without a limit.
memory_limit_bytes() {
    local limit
    limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || true)
    # Without a limit it is `max`, or a number of 19 digits.
    if [[ "$limit" =~ ^[0-9]{1,15}$ ]]; then echo "$limit"; fi
}
