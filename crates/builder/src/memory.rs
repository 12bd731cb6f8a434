//! Number of pushes that git may unpack at the same time, by the available memory.

/// Most at once, however much memory there is: each also takes processor time and disk.
const UNPACKING_MAX: u64 = 16;
/// Assumed where the system does not say.
const TOTAL_BYTES_DEFAULT: u64 = 1 << 30;
/// The memory of the control group that we are in, version 2 and version 1 (kernel: admin-guide/cgroup-v2.rst).
const CONTROL_GROUP: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// The memory of this machine, or of the pod that we run in where that is less.
pub(crate) fn total_bytes() -> u64 {
    let of_group =
        CONTROL_GROUP.iter().filter_map(|path| std::fs::read_to_string(path).ok()?.trim().parse().ok());
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| of_machine(&text));
    of_group.chain(machine).min().unwrap_or(TOTAL_BYTES_DEFAULT)
}

fn of_machine(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// As many as half of the memory holds, were each to take all that it may.
pub(crate) fn unpacking_max(total_bytes: u64, git_memory_bytes: u64) -> usize {
    let room = total_bytes / 2 / git_memory_bytes.max(1);
    usize::try_from(room.clamp(1, UNPACKING_MAX)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_unpacked_at_once_as_half_of_the_memory_holds() {
        assert_eq!(unpacking_max(1 << 30, 256 << 20), 2);
        assert_eq!(unpacking_max(1 << 30, 4 << 30), 1);
        assert_eq!(unpacking_max(1 << 40, 512 << 20), 16);
    }

    #[test]
    fn the_memory_of_the_machine_is_read() {
        assert_eq!(of_machine("MemFree: 1 kB\nMemTotal:       24683820 kB\n"), Some(24_683_820 << 10));
        assert!(total_bytes() > 64 << 20);
    }
}
