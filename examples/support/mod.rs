//! What several examples need: how much memory the process has, and numbers with commas.

use std::fs;

/// How many bytes of the process are in memory, and how many were at the most: `VmRSS` and `VmHWM`. `None` where there
/// is no `/proc/self/status` (it is Linux's).
pub fn resident() -> Option<(u64, u64)> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    };
    Some((bytes("VmRSS:")?, bytes("VmHWM:")?))
}

/// 1234567 as 1,234,567.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
